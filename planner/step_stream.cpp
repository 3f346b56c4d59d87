// SPDX-License-Identifier: Apache-2.0
#include "planner/step_stream.hpp"

#include "planner/error.hpp"
#include "planner/flops.hpp"

#include <algorithm>
#include <string>

namespace cqsa {
namespace {

void check_grid(const block_grid& grid, std::int64_t tokens, std::int64_t chunks,
                const std::string& side) {
    if (grid.tokens != tokens || grid.block_tokens < 1) {
        throw Error(error_code::usage,
                    "the plan's " + side + " grid must hold " + std::to_string(tokens) +
                        " tokens in blocks of at least 1, but " + std::to_string(grid.tokens) +
                        " in blocks of " + std::to_string(grid.block_tokens) + " came");
    }
    const chunk_cut cut(grid.blocks(), chunks);
    if (grid.chunk_blocks != cut.chunk_items) {
        throw Error(error_code::usage, "the plan's " + side + " chunks must be of " +
                                           std::to_string(cut.chunk_items) + " blocks, but " +
                                           std::to_string(grid.chunk_blocks) + " came");
    }
}

void check_plan(const plan& plan) {
    check_grid(plan.queries, plan.problem.tokens, plan.chunks, "query");
    check_grid(plan.keys, plan.problem.kv_tokens, plan.chunks, "key");
    if (plan.strip_blocks < 1 || plan.segment_blocks < 1 || plan.interleave < 1) {
        throw Error(error_code::usage,
                    "the plan's strip, segment and interleave must be at least 1, but " +
                        std::to_string(plan.strip_blocks) + ", " +
                        std::to_string(plan.segment_blocks) + " and " +
                        std::to_string(plan.interleave) + " came");
    }
    if (plan.order == task_order::query_major && plan.flow == state_flow::merged) {
        throw Error(error_code::usage,
                    "partial states need quorum-major order, but the plan is query-major");
    }
    const auto strip = std::min(plan.strip_blocks, plan.queries.blocks());
    const auto segment = std::min(plan.segment_blocks, plan.keys.blocks());
    const double step_flops = static_cast<double>(flops_per_pair(plan.problem)) *
                              static_cast<double>(strip * plan.queries.block_tokens) *
                              static_cast<double>(segment * plan.keys.block_tokens);
    if (step_flops >= 0x1p63) {
        throw Error(error_code::usage, "a step must be below 2^63 flops, but strip and segment of "
                                       "the plan make one of " +
                                           std::to_string(step_flops));
    }
}

} // namespace

step_stream::step_stream(const plan& plan)
    : plan_((check_plan(plan), plan)), groups_(plan), visits_left_(plan.queries.blocks(), 0),
      touched_(plan.queries.blocks(), false), partial_touched_(plan.queries.blocks(), false) {
    GroupStream groups(plan);
    while (const strip_group* group = groups.next()) {
        for (const strip_work& strip : group->strips) {
            for (const strip_block& work : strip)
                ++visits_left_[work.block];
        }
    }
}

std::optional<step> step_stream::next() {
    while (ready_.empty()) {
        if (idle_block_ < plan_.queries.blocks()) {
            emit_idle(idle_block_++);
        } else if (group_ != nullptr && member_ < group_->strips.size()) {
            emit(member_++);
        } else if (group_ != nullptr && segment_ != group_->visited_last()) {
            enter_segment(group_->visited_after(segment_));
        } else {
            group_ = groups_.next();
            if (group_ == nullptr) return std::nullopt;
            enter_group();
        }
    }
    step result = std::move(ready_.front());
    ready_.pop_front();
    return result;
}

void step_stream::emit_idle(std::int64_t block) {
    if (visits_left_[block] > 0) return;
    step finish;
    finish.kind = step_kind::finalize;
    finish.queries = {block};
    finish.fresh = {true};
    ready_.push_back(std::move(finish));
}

void step_stream::enter_group() {
    numbers_.assign(group_->strips.size(), -1);
    enter_segment(group_->visited_first());
}

void step_stream::enter_segment(std::int64_t segment) {
    const auto& runs = group_->leaf->keys;
    const std::int64_t begin = segment * plan_.segment_blocks;
    const std::int64_t end = std::min(begin + plan_.segment_blocks, group_->leaf->key_blocks());
    segment_keys_.clear();
    auto run = std::ranges::upper_bound(runs, begin, {}, &block_run::position) - 1;
    for (std::int64_t position = begin; position < end; ++position) {
        if (position == run->position + run->count) ++run;
        segment_keys_.push_back(
            {run->first + position - run->position, static_cast<std::size_t>(run - runs.begin())});
    }
    segment_ = segment;
    member_ = 0;
}

void step_stream::emit(std::size_t member) {
    const Visibility& visibility = groups_.visibility();
    const bool partial = plan_.flow == state_flow::merged;
    const std::int64_t first_key = segment_ * plan_.segment_blocks;
    const std::int64_t end_key = first_key + static_cast<std::int64_t>(segment_keys_.size());
    const std::size_t width = segment_keys_.size();
    std::vector<bool>& touched = partial ? partial_touched_ : touched_;
    step task;
    std::int64_t pairs = 0;
    kinds_.clear();
    for (const strip_block& work : group_->strips[member]) {
        if (work.last_key < first_key || work.first_key >= end_key) continue;
        bool any = false;
        for (const segment_key& key : segment_keys_) {
            const pair_kind kind = group_->leaf->owns(work.run, key.run)
                                       ? visibility.kind(work.block, key.block)
                                       : pair_kind::none;
            kinds_.push_back(kind);
            if (kind == pair_kind::none) continue;
            any = true;
            pairs += visibility.pairs(work.block, key.block);
        }
        if (!any) {
            kinds_.resize(kinds_.size() - width);
            continue;
        }
        task.queries.push_back(work.block);
        task.fresh.push_back(!touched[work.block]);
        touched[work.block] = true;
    }
    if (task.queries.empty()) return;

    std::vector<bool> used(width, false);
    for (std::size_t i = 0; i < kinds_.size(); ++i) {
        if (kinds_[i] != pair_kind::none) used[i % width] = true;
    }
    for (std::size_t key = 0; key < width; ++key) {
        if (used[key]) task.keys.push_back(segment_keys_[key].block);
    }
    task.pairs.reserve(task.queries.size() * task.keys.size());
    for (std::size_t i = 0; i < kinds_.size(); ++i) {
        if (used[i % width]) task.pairs.push_back(kinds_[i]);
    }
    if (numbers_[member] < 0) numbers_[member] = visits_++;
    task.strip = numbers_[member];
    task.partial = partial;
    task.flops = flops_per_pair(plan_.problem) * pairs;
    task.quorum = query_major() ? common_owner(task) : group_->leaf->index;
    ready_.push_back(std::move(task));
    emit_completed(member);
}

/// Merges and finalizes the blocks of the visit whose last pair lies in this segment.
void step_stream::emit_completed(std::size_t member) {
    for (const strip_block& work : group_->strips[member]) {
        const std::int64_t last = group_->visited_last(work.first_key / plan_.segment_blocks,
                                                       work.last_key / plan_.segment_blocks);
        if (last != segment_) continue;
        const bool complete = --visits_left_[work.block] == 0;
        step follow;
        follow.strip = numbers_[member];
        follow.queries = {work.block};
        if (plan_.flow == state_flow::merged) {
            follow.kind = step_kind::merge;
            follow.quorum = group_->leaf->index;
            follow.fresh = {!touched_[work.block]};
            touched_[work.block] = true;
            partial_touched_[work.block] = false;
            ready_.push_back(follow);
        }
        if (!complete) continue;
        follow.kind = step_kind::finalize;
        follow.quorum = -1;
        follow.fresh = {false};
        ready_.push_back(std::move(follow));
    }
}

std::int64_t step_stream::common_owner(const step& task) const {
    if (plan_.chunks == 1) return 0;
    const Divide& divide = groups_.divide();
    const std::int64_t owner = divide.owner(task.queries.front(), task.keys.front());
    const auto one_chunk = [](const block_grid& grid, const std::vector<std::int64_t>& blocks) {
        return grid.chunk_of(blocks.front()) == grid.chunk_of(blocks.back());
    };
    // The first pair may be masked out; its owner still is the owner of all when they share one,
    // because they are in the same chunks.
    if (plan_.depth == 1 && one_chunk(plan_.queries, task.queries) &&
        one_chunk(plan_.keys, task.keys)) {
        return owner;
    }
    std::int64_t common = -1;
    for (std::size_t i = 0; i < task.pairs.size(); ++i) {
        if (task.pairs[i] == pair_kind::none) continue;
        const std::int64_t one =
            divide.owner(task.queries[i / task.keys.size()], task.keys[i % task.keys.size()]);
        if (common >= 0 && one != common) return -1;
        common = one;
    }
    return common;
}

} // namespace cqsa
