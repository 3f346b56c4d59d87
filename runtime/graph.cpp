// SPDX-License-Identifier: Apache-2.0
#include "runtime/graph.hpp"

#include "codelets/attend/codelet.hpp"
#include "codelets/finalize/codelet.hpp"
#include "codelets/merge/codelet.hpp"
#include "planner/step_stream.hpp"
#include "planner/visibility.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <utility>

namespace cqsa {
namespace {

constexpr std::int64_t max_tasks = 512;
constexpr std::chrono::milliseconds poll_interval{100};
// Merges release memory and complete results, so they go before attention that is ready too.
constexpr int attend_priority = 0;
constexpr int merge_priority = 1;

// The block of `tokens` tokens that starts at `begin`.
block_part rows_of(const tensor& array, std::int64_t begin, std::int64_t tokens) {
    const std::int64_t bytes = bytes_of(array.type);
    // StarPU has one kind of pointer for what is read and what is written; access modes tell.
    auto* base = static_cast<std::byte*>(const_cast<void*>(array.data));
    return {base + begin * array.strides[2] * bytes,
            array.shape[3] * bytes,
            {array.shape[0], array.shape[1], tokens},
            {array.strides[0] * bytes, array.strides[1] * bytes, array.strides[2] * bytes}};
}

void name_handle(starpu_data_handle_t handle, const char* name, std::int64_t block) {
    starpu_data_set_name(handle, name);
    starpu_data_set_coordinates(handle, 1, static_cast<int>(block));
}

// In a trace a task's iteration is its quorum, counted from 1 (0: several quorums, or none).
class Iteration {
  public:
    explicit Iteration(std::int64_t quorum) {
        starpu_iteration_push(static_cast<unsigned long>(quorum + 1));
    }
    ~Iteration() { starpu_iteration_pop(); }
    Iteration(const Iteration&) = delete;
    Iteration& operator=(const Iteration&) = delete;
};

void end_of_task(void* argument) {
    const std::unique_ptr<task_arguments> arguments(static_cast<task_arguments*>(argument));
    arguments->on_done();
}

/// A handle without content, on which tasks depend.
starpu_data_handle_t register_order(const char* name) {
    starpu_data_handle_t order = nullptr;
    starpu_void_data_register(&order);
    starpu_data_set_name(order, name);
    return order;
}

} // namespace

void Graph::handle_deleter::operator()(starpu_data_handle_t data) const {
    starpu_data_unregister(data);
}

Graph::Graph(const operands& given, const plan& the_plan, Run& run, std::int32_t where,
             int lone_worker, std::int64_t workspace_bytes, const residency& kept,
             double stall_seconds)
    : given_(given), plan_(the_plan), sizes_(the_plan), run_(run), where_(where),
      one_worker_(lone_worker >= 0),
      memory_node_(one_worker_ ? starpu_worker_get_memory_node(lone_worker) : STARPU_MAIN_RAM),
      stall_limit_(stall_seconds) {
    if (memory_node_ != STARPU_MAIN_RAM) {
        fetch_ahead_.emplace(memory_node_, kept.key_blocks, query_buffers(plan_, kept),
                             plan_.order == task_order::quorum_major);
    }
    if (workspace_bytes > 0) {
        workspace_.reset(register_workspace(workspace_bytes));
        starpu_data_set_name(workspace_.get(), "workspace");
    }
    for (std::int64_t i = 0; i < plan_.interleave; ++i) {
        slots_.emplace_back().order.reset(register_order("slot"));
    }
    for (handle& turn : turns_)
        turn.reset(register_order("turn"));
}

Graph::~Graph() {
    // Nobody wants what is in them any more.
    for (handle& state : state_handles_)
        starpu_data_unregister_no_coherency(state.release());
}

void Graph::execute(const poll_function& poll) {
    next_poll_ = last_end_ = std::chrono::steady_clock::now();
    step_stream steps(plan_);
    while (const auto step = steps.next()) {
        wait_until([this] { return submitted_ - ended_ < max_tasks; }, poll);
        if (run_.cancelled()) break;
        submit(*step);
    }
    wait_until([this] { return submitted_ == ended_; }, poll);
    release_finished_blocks();
    results_.clear();
    queries_.clear();
    keys_.clear();
    run_.rethrow();
    if (stopped_) throw Error(error_code::stopped, "The run was stopped on request");
}

void Graph::wait_until(const std::function<bool()>& condition, const poll_function& poll) {
    std::unique_lock lock(mutex_);
    while (!condition()) {
        changed_.wait_until(lock, next_poll_,
                            [&] { return condition() || !finished_blocks_.empty(); });
        if (!finished_blocks_.empty()) {
            lock.unlock();
            release_finished_blocks();
            lock.lock();
        }
        const auto now = std::chrono::steady_clock::now();
        if (now < next_poll_) continue;
        next_poll_ = now + poll_interval;
        const double flops = ended_flops_;
        const std::int64_t tasks = ended_;
        lock.unlock();
        if (tasks != last_ended_) {
            last_ended_ = tasks;
            last_end_ = now;
        } else if (now - last_end_ > stall_limit_) {
            throw Stalled(error_code::device,
                          "StarPU has stalled: none of " + std::to_string(submitted_ - tasks) +
                              " submitted tasks has ended for " +
                              std::to_string(std::lround(stall_limit_.count())) + " s");
        }
        if (poll && poll(flops, tasks)) {
            stopped_ = true;
            run_.cancel();
        }
        lock.lock();
    }
}

void Graph::submit(const step& step) {
    const Iteration quorum(step.quorum);
    switch (step.kind) {
    case step_kind::attend:
        submit_attend(step);
        break;
    case step_kind::merge:
        submit_merge(step);
        break;
    case step_kind::finalize:
        submit_finalize(step);
        break;
    }
}

void Graph::submit_attend(const step& step) {
    auto arguments = std::make_unique<attend_arguments>(run_);
    arguments->strip = step.strip;
    const Visibility visibility(plan_.problem, plan_.queries, plan_.keys);
    std::vector<starpu_data_descr> buffers;
    for (std::size_t i = 0; i < step.queries.size(); ++i) {
        const std::int64_t block = step.queries[i];
        arguments->queries.push_back(
            {.q = {},
             .state = {},
             .tokens = plan_.queries.size(block),
             .position = plan_.queries.begin(block),
             .fresh = step.fresh[i],
             .row_keys = visibility.keys_of_row(plan_.queries.begin(block))});
        buffers.push_back({query_handle(block), STARPU_R});
    }
    for (std::size_t i = 0; i < step.queries.size(); ++i) {
        const std::int64_t block = step.queries[i];
        buffers.push_back(
            {step.partial ? state_of(partials_, {step.quorum, block}) : state_of(states_, block),
             step.fresh[i] ? STARPU_W : STARPU_RW});
    }
    for (const std::int64_t block : step.keys) {
        arguments->keys.push_back({.k = {},
                                   .v = {},
                                   .tokens = plan_.keys.size(block),
                                   .position = plan_.keys.begin(block)});
        buffers.push_back({key_handle(block), STARPU_R});
    }
    arguments->pairs = step.pairs;
    arguments->followed = attends_ + 1 < plan_.tasks;
    if (workspace_) {
        arguments->has_workspace = true;
        buffers.push_back({workspace_.get(), STARPU_SCRATCH});
    }
    arguments->flops = step.flops;
    if (fetch_ahead_) {
        FetchAhead::handles queries;
        FetchAhead::handles keys;
        for (const std::int64_t block : step.queries)
            queries.push_back(query_handle(block));
        for (const std::int64_t block : step.keys)
            keys.push_back(key_handle(block));
        fetch_ahead_->submitted(attends_, std::move(queries), std::move(keys));
    }
    enter_window(step, *arguments, buffers);
    submit_task(attend_codelet(), std::move(arguments), std::move(buffers), attend_priority);
}

void Graph::submit_merge(const step& step) {
    const std::int64_t block = step.queries.front();
    auto arguments = std::make_unique<merge_arguments>(run_);
    arguments->strip = step.strip;
    arguments->tokens = plan_.queries.size(block);
    arguments->fresh = step.fresh.front();
    arguments->bytes = 3 * state_bytes(block);
    const auto partial = partials_.extract({step.quorum, block});
    std::vector<starpu_data_descr> buffers{
        {state_of(states_, block), step.fresh.front() ? STARPU_W : STARPU_RW},
        {partial.mapped(), STARPU_R}};
    enter_window(step, *arguments, buffers);
    submit_task(merge_codelet(), std::move(arguments), std::move(buffers), merge_priority);
    spare_states_.push_back(partial.mapped());
}

void Graph::submit_finalize(const step& step) {
    const std::int64_t block = step.queries.front();
    auto arguments = std::make_unique<finalize_arguments>(run_);
    arguments->strip = step.strip;
    arguments->tokens = plan_.queries.size(block);
    arguments->fresh = step.fresh.front();
    arguments->bytes = 2 * state_bytes(block);
    std::vector<starpu_data_descr> buffers{{result_handle(block), STARPU_W}};
    const auto state = states_.extract(block);
    if (!arguments->fresh) buffers.push_back({state.mapped(), STARPU_R});
    enter_window(step, *arguments, buffers);
    submit_task(finalize_codelet(), std::move(arguments), std::move(buffers), merge_priority,
                block);
    if (!state.empty()) spare_states_.push_back(state.mapped());
}

void Graph::submit_task(starpu_codelet& codelet, std::unique_ptr<task_arguments> arguments,
                        std::vector<starpu_data_descr> buffers, int priority,
                        std::int64_t finished_block) {
    starpu_task* task = starpu_task_create();
    task->cl = &codelet;
    task->where = where_;
    task->name = codelet.name;
    task->flops = static_cast<double>(arguments->flops);
    task->tag_id = static_cast<starpu_tag_t>(arguments->strip); // shown in traces, else unused
    task->priority = std::min(priority, starpu_sched_get_max_priority());
    task->nbuffers = static_cast<int>(buffers.size());
    // StarPU frees these two with free().
    task->dyn_handles = static_cast<starpu_data_handle_t*>(
        std::malloc(buffers.size() * sizeof(starpu_data_handle_t)));
    task->dyn_modes = static_cast<starpu_data_access_mode*>(
        std::malloc(buffers.size() * sizeof(starpu_data_access_mode)));
    for (std::size_t i = 0; i < buffers.size(); ++i) {
        task->dyn_handles[i] = buffers[i].handle;
        task->dyn_modes[i] = buffers[i].mode;
    }
    const std::int64_t attend = &codelet == &attend_codelet() ? attends_++ : -1;
    arguments->on_done = [this, flops = arguments->flops, finished_block, attend] {
        if (attend >= 0 && fetch_ahead_) fetch_ahead_->ended(attend);
        const std::lock_guard lock(mutex_);
        ++ended_;
        ended_flops_ += static_cast<double>(flops);
        if (finished_block >= 0) finished_blocks_.push_back(finished_block);
        changed_.notify_one();
    };
    task_arguments* raw = arguments.release();
    task->cl_arg = raw;
    task->callback_func = end_of_task;
    task->callback_arg = raw;
    task->epilogue_callback_func = count_task;
    task->epilogue_callback_arg = raw;
    const int result = starpu_task_submit(task);
    if (result != 0) {
        task->destroy = 0;
        starpu_task_destroy(task);
        delete raw;
        throw Error(error_code::device,
                    std::string("StarPU refused a task: ") + std::strerror(-result));
    }
    ++submitted_;
}

void Graph::enter_window(const step& step, task_arguments& arguments,
                         std::vector<starpu_data_descr>& buffers) {
    if (step.strip < 0) return; // blocks that see no key belong to no strip
    const auto number = static_cast<std::size_t>(step.strip % plan_.interleave);
    slot& place = slots_[number];
    const bool first = place.strip != step.strip;
    place.strip = step.strip;
    if (first) {
        place.progress = std::make_shared<strip_progress>();
        // Each has room for those dealt to it, not for more, and what one has loaded serves them.
        const std::vector<int>& gpus = run_.gpus;
        if (gpus.size() > 1) place.progress->gpu = gpus[number % gpus.size()];
    }
    arguments.progress = place.progress;
    arguments.progress->flops_left += arguments.flops;
    buffers.push_back({place.order.get(), first ? STARPU_W : STARPU_R});
    if (!one_worker_ || step.kind != step_kind::attend) return;
    const auto turn = [this](std::int64_t attend) {
        return turns_[static_cast<std::size_t>(attend % std::ssize(turns_))].get();
    };
    buffers.push_back({turn(attends_), STARPU_W});
    for (const std::int64_t before : {2, 3})
        if (attends_ >= before) buffers.push_back({turn(attends_ - before), STARPU_R});
}

template<class Key>
starpu_data_handle_t Graph::state_of(std::map<Key, starpu_data_handle_t>& states, const Key& key) {
    const auto [entry, is_new] = states.try_emplace(key, nullptr);
    if (is_new && !spare_states_.empty()) {
        entry->second = spare_states_.front();
        spare_states_.pop_front();
    } else if (is_new) {
        entry->second = register_temporary(sizes_.state, sizes_.state, &run_.moved);
        name_handle(entry->second, "state", static_cast<std::int64_t>(state_handles_.size()));
        // A plan's device holds those of the strips in turn: they never have to make room.
        if (fetch_ahead_ && plan_.order == task_order::query_major)
            FetchAhead::keep(entry->second, memory_node_);
        state_handles_.emplace_back(entry->second);
    }
    return entry->second;
}

std::int64_t Graph::state_bytes(std::int64_t block) const {
    return static_cast<std::int64_t>(state_layout(run_.problem, plan_.queries.size(block)).bytes());
}

starpu_data_handle_t Graph::block_of(std::map<std::int64_t, handle>& blocks, const char* name,
                                     std::int64_t block, const block_grid& grid,
                                     std::int64_t buffer_bytes,
                                     std::initializer_list<const tensor*> arrays) {
    const auto [entry, is_new] = blocks.try_emplace(block, nullptr);
    if (is_new) {
        std::vector<block_part> parts;
        for (const tensor* array : arrays)
            parts.push_back(rows_of(*array, grid.begin(block), grid.size(block)));
        entry->second.reset(register_block(parts.data(), static_cast<int>(parts.size()),
                                           buffer_bytes, &run_.moved));
        name_handle(entry->second.get(), name, block);
    }
    return entry->second.get();
}

starpu_data_handle_t Graph::query_handle(std::int64_t block) {
    return block_of(queries_, "Q", block, plan_.queries, sizes_.query, {&given_.q});
}

starpu_data_handle_t Graph::key_handle(std::int64_t block) {
    return block_of(keys_, "KV", block, plan_.keys, sizes_.key, {&given_.k, &given_.v});
}

starpu_data_handle_t Graph::result_handle(std::int64_t block) {
    const tensor out{given_.out.data, given_.out.type, given_.out.shape, given_.out.strides};
    const tensor lse{given_.lse.data, given_.lse.type, given_.lse.shape, given_.lse.strides};
    const starpu_data_handle_t result =
        given_.lse.data == nullptr
            ? block_of(results_, "O", block, plan_.queries, sizes_.result, {&out})
            : block_of(results_, "O", block, plan_.queries, sizes_.result, {&out, &lse});
    // Written back to the caller's memory as soon as it is complete.
    starpu_data_set_wt_mask(result, 1U << STARPU_MAIN_RAM);
    return result;
}

void Graph::release_finished_blocks() {
    std::vector<std::int64_t> blocks;
    {
        const std::lock_guard lock(mutex_);
        blocks.swap(finished_blocks_);
    }
    for (const std::int64_t block : blocks) {
        results_.erase(block); // waits until it has left the GPU
        const auto query = queries_.extract(block);
        if (fetch_ahead_ && !query.empty()) fetch_ahead_->released(query.mapped().get());
    }
}

} // namespace cqsa
