// SPDX-License-Identifier: Apache-2.0
#include "runtime/attend.hpp"

#include "codelets/block_pool.hpp"
#include "codelets/run.hpp"
#include "planner/make_plan.hpp"
#include "planner/memory_model.hpp"
#include "runtime/graph.hpp"
#include "runtime/machine.hpp"
#include "runtime/operands.hpp"
#include "runtime/pinned_memory.hpp"
#include "runtime/session.hpp"
#include "runtime/starpu_context.hpp"

#include <starpu.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <optional>
#include <vector>

namespace cqsa {
namespace {

starpu_settings settings_of(const attend_options& options) {
    return {.workers = options.workers,
            .cpu_threads = options.cpu_threads,
            .device_bytes = options.device_bytes,
            .trace_directory = options.trace_directory};
}

plan_request request_of(const attend_options& options) {
    return {.chunks = options.chunks,
            .depth = options.depth,
            .order = options.order,
            .flow = options.flow,
            .block_tokens = options.block_tokens,
            .strip_tokens = options.strip_tokens,
            .segment_tokens = options.segment_tokens};
}

processor_rates rates_of(const rates& planned) {
    return {.attend_flops_per_second = planned.attend_flops_per_second,
            .bytes_per_second = planned.merge_bytes_per_second,
            .task_seconds = planned.task_seconds};
}

// StarPU's workers are awake as long as it lives.
class Awake {
  public:
    explicit Awake(StarpuContext& context) : context_(context) { context_.resume(); }
    ~Awake() { context_.pause(); }
    Awake(const Awake&) = delete;
    Awake& operator=(const Awake&) = delete;

  private:
    StarpuContext& context_;
};

// What a run follows, where its tasks may run, and what they need there.
struct arrangement {
    plan_request request;
    cqsa::plan plan;
    machine node;
    std::int32_t where = STARPU_CPU;
    residency kept; ///< on each GPU
};

// The worker that the plan counts on alone, though a CPU beside it may take tasks, too, should the
// GPU turn out to be slow; −1: it counts on several.
int lone_worker(const StarpuContext& context, const machine& node) {
    const std::vector<int>& ids = node.devices > 0 ? context.cuda_workers() : context.cpu_workers();
    return workers(node) == 1 && ids.size() == 1 ? ids.front() : -1;
}

// starpu_task::where. A CPU that the plan does not count on may take tasks only if it can be kept
// from it.
std::int32_t where(const StarpuContext& context, const machine& node) {
    const bool gpus_alone = workers(node) == node.devices;
    return gpus_alone && !context.workers_choose() ? STARPU_CUDA : context.where();
}

// Takes the plan's device memory on every GPU; false when one of them has less.
bool reserve(const StarpuContext& context, const arrangement& run) {
    return std::ranges::all_of(context.cuda_workers(), [&](int worker) {
        return reserve_buffers(starpu_worker_get_memory_node(worker), run.kept.buffers);
    });
}

// Whether the arrangement of an earlier run serves this one: the same wishes on a machine that has
// as much memory for it as it had then, and hardly more.
bool serves(const arrangement& earlier, const problem& problem, const plan_request& request,
            const machine& node) {
    return earlier.plan.problem == problem && earlier.request == request &&
           earlier.plan.predicted.host_bytes <= node.host_bytes &&
           earlier.plan.predicted.device_bytes <= node.device_bytes &&
           node.device_bytes <= earlier.node.device_bytes + earlier.node.device_bytes / 16;
}

// Plans for what the GPUs have and takes it. Other processes may take memory between the two: then
// the plan becomes smaller, until none fits. Planning takes as long as a short attention, so `last`
// keeps the arrangement for the next run.
arrangement arrange(const StarpuContext& context, const problem& problem, attend_options options,
                    std::optional<arrangement>& last) {
    const std::string no_gpus = gpus_unsupported(context, problem);
    if (!no_gpus.empty() && context.cpu_workers().empty()) {
        throw Error(error_code::device, no_gpus);
    }
    const bool with_gpus = !context.cuda_workers().empty() && no_gpus.empty();
    while (true) {
        arrangement run;
        run.request = request_of(options);
        run.node = machine_of(context, problem, options, with_gpus);
        if (last && serves(*last, problem, run.request, run.node) &&
            (!with_gpus || reserve(context, *last)))
            return *last;
        run.plan = make_plan(problem, run.node, run.request);
        if (!with_gpus) return last.emplace(run);
        run.where = where(context, run.node);
        run.kept = device_residency(run.plan, run.node);
        if (reserve(context, run)) return last.emplace(run);
        options.device_bytes = run.plan.predicted.device_bytes / 10 * 9;
    }
}

double stall_seconds(const attend_options& options, const plan& plan) {
    const double mean =
        plan.predicted.seconds / static_cast<double>(std::max<std::int64_t>(1, plan.tasks));
    return options.stall_seconds.value_or(std::max(120.0, 100 * mean));
}

// Runs the plan and returns the seconds from the first submission to the last output.
double execute(StarpuContext& context, const operands& given, const attend_options& options,
               std::unique_ptr<Run>& run, const arrangement& arranged) {
    const auto start = std::chrono::steady_clock::now();
    const auto elapsed = [start] {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    };
    const auto tell = [&](double flops, std::int64_t tasks) {
        if (options.on_progress) {
            options.on_progress({.flops_done = flops,
                                 .flops_total = arranged.plan.predicted.flops,
                                 .tasks_done = tasks,
                                 .tasks_total = arranged.plan.tasks,
                                 .seconds = elapsed()});
        }
        return options.stop_requested && options.stop_requested();
    };
    std::unique_ptr<PinnedMemory> pinned;
    if ((arranged.where & STARPU_CUDA) != 0) {
        pinned = std::make_unique<PinnedMemory>(given, arranged.plan);
        run->moved.pieces = &pinned->pieces();
        run->moved.staged = pinned->staged_copies();
        pinned->wait_for_first_steps();
    }
    auto graph = std::make_unique<Graph>(
        given, arranged.plan, *run, arranged.where, lone_worker(context, arranged.node),
        device_working_set(arranged.plan, arranged.node).workspace_bytes, arranged.kept,
        stall_seconds(options, arranged.plan));
    try {
        graph->execute(tell);
    } catch (const Graph::Stalled&) {
        // StarPU still holds on to these.
        static_cast<void>(pinned.release());
        static_cast<void>(graph.release());
        static_cast<void>(run.release());
        context.abandon();
        throw;
    }
    graph.reset();
    pinned.reset();
    tell(arranged.plan.predicted.flops, arranged.plan.tasks);
    return elapsed();
}

std::vector<attend_report::worker> workers_of(const StarpuContext& context, Run& run) {
    std::vector<int> ids = context.cpu_workers();
    ids.insert(ids.end(), context.cuda_workers().begin(), context.cuda_workers().end());
    std::vector<attend_report::worker> workers;
    for (const int id : ids) {
        Run::worker_record& record = run.record(id);
        workers.push_back({context.name_of(id), record.tasks, record.busy_seconds,
                           record.attend_seconds, record.attend_flops});
    }
    return workers;
}

attend_report run_attention(StarpuContext& context, const operands& given, const problem& problem,
                            double scale, const attend_options& options,
                            std::optional<arrangement>& last) {
    reset_peak_memory_use();
    const Awake awake(context);
    const arrangement arranged = arrange(context, problem, options, last);
    attend_report report;
    report.plan = arranged.plan;

    auto run = std::make_unique<Run>(problem, scale);
    run->cpu_threads = context.cpu_team_threads();
    run->cpu_rates = rates_of(arranged.node.cpu_rates);
    run->cuda_rates = rates_of(arranged.node.device_rates);
    if (arranged.node.devices > 0) run->gpus = context.cuda_workers();
    run->workers_choose = context.workers_choose();
    if (CpuTeam* team = context.team()) run->prepare_cpu_worker = [team] { team->bind(); };

    report.measured.seconds = execute(context, given, options, run, arranged);
    report.measured.flops = report.plan.predicted.flops;
    const memory_use use = peak_memory_use();
    report.measured.device_bytes = use.device_bytes;
    report.measured.host_bytes = use.host_bytes + run->workspace_bytes();
    report.measured.h2d_bytes = run->moved.h2d_bytes;
    report.measured.d2h_bytes = run->moved.d2h_bytes;
    report.workers = workers_of(context, *run);
    report.warning = context.warning();
    return report;
}

// One attention at a time: two would each take the memory that the other's plan counts on.
std::mutex& one_at_a_time() {
    static std::mutex mutex;
    return mutex;
}

} // namespace

struct Session::Implementation {
    attend_options fixed;
    StarpuContext context;
    std::optional<arrangement> last;

    explicit Implementation(const attend_options& options)
        : fixed(options), context(settings_of(options)) {}
};

Session::Session(const attend_options& options) {
    const std::lock_guard lock(one_at_a_time());
    implementation_ = std::make_unique<Implementation>(options);
}

Session::~Session() {
    const std::lock_guard lock(one_at_a_time());
    implementation_.reset();
}

Session::Session(Session&&) noexcept = default;

Session& Session::operator=(Session&& other) noexcept {
    const std::lock_guard lock(one_at_a_time());
    implementation_ = std::move(other.implementation_);
    return *this;
}

attend_report Session::attend(const tensor& q, const tensor& k, const tensor& v,
                              const mutable_tensor& out, const mutable_tensor& lse,
                              const attend_options& options) {
    const operands given{q, k, v, out, lse};
    const problem problem = check(given, options);
    const double scale = scale_of(problem, options);
    attend_options effective = options;
    effective.workers = implementation_->fixed.workers;
    effective.cpu_threads = implementation_->fixed.cpu_threads;
    effective.device_bytes = implementation_->fixed.device_bytes;
    const std::lock_guard lock(one_at_a_time());
    return run_attention(implementation_->context, given, problem, scale, effective,
                         implementation_->last);
}

attend_report attend(const tensor& q, const tensor& k, const tensor& v, const mutable_tensor& out,
                     const mutable_tensor& lse, const attend_options& options) {
    const operands given{q, k, v, out, lse};
    const problem problem = check(given, options);
    const double scale = scale_of(problem, options);
    const std::lock_guard lock(one_at_a_time());
    StarpuContext context(settings_of(options));
    std::optional<arrangement> last;
    return run_attention(context, given, problem, scale, options, last);
}

plan plan_attention(const problem& problem, const attend_options& options) {
    return make_plan(problem, machine_for_plan(problem, options), request_of(options));
}

std::array<std::int64_t, 4> bhnd_strides(const std::array<std::int64_t, 4>& shape) {
    return {shape[1] * shape[2] * shape[3], shape[2] * shape[3], shape[3], 1};
}

std::array<std::int64_t, 4> bnhd_strides(const std::array<std::int64_t, 4>& shape) {
    return {shape[1] * shape[2] * shape[3], shape[3], shape[1] * shape[3], 1};
}

} // namespace cqsa
