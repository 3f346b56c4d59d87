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

const plan& checked(const plan& plan) {
    check_plan(plan);
    return plan;
}

} // namespace

step_stream::step_stream(const plan& plan)
    : plan_(checked(plan)), divide_(QuorumSystem(plan.chunks, plan.difference_set), plan.depth,
                                    plan.queries.blocks(), plan.keys.blocks()),
      visibility_(plan.problem, plan.queries, plan.keys), leaves_(divide_),
      visits_left_(plan.queries.blocks(), 0), touched_(plan.queries.blocks(), false),
      partial_touched_(plan.queries.blocks(), false) {
    if (query_major()) whole_ = whole_sequence(divide_.query_blocks(), divide_.key_blocks());
    count_visits();
}

void step_stream::count_visits() {
    const auto count = [&](const leaf& leaf) {
        for (std::size_t run = 0; run < leaf.queries.size(); ++run) {
            for (std::int64_t i = 0; i < leaf.queries[run].count; ++i) {
                const std::int64_t block = leaf.queries[run].first + i;
                if (work_of(leaf, block, run)) ++visits_left_[block];
            }
        }
    };
    if (query_major()) {
        count(whole_);
    } else {
        LeafStream leaves(divide_);
        while (const leaf* leaf = leaves.next())
            count(*leaf);
    }
}

std::optional<step_stream::strip_block> step_stream::work_of(const leaf& leaf, std::int64_t block,
                                                             std::size_t run) const {
    const std::int64_t visible = visibility_.visible_blocks(block);
    const auto& keys = leaf.keys;
    std::size_t first = 0;
    while (first < keys.size() && !leaf.owns(run, first))
        ++first;
    if (first == keys.size() || keys[first].first >= visible) return std::nullopt;
    std::size_t last = keys.size() - 1;
    while (!leaf.owns(run, last) || keys[last].first >= visible)
        --last;
    const std::int64_t seen = std::min(keys[last].count, visible - keys[last].first);
    return strip_block{block, run, keys[first].position, keys[last].position + seen - 1};
}

std::optional<step> step_stream::next() {
    while (ready_.empty()) {
        if (idle_block_ < divide_.query_blocks()) {
            if (visits_left_[idle_block_] == 0) {
                step finish;
                finish.kind = step_kind::finalize;
                finish.queries = {idle_block_};
                finish.fresh = {true};
                ready_.push_back(std::move(finish));
            }
            ++idle_block_;
            continue;
        }
        if (member_ < group_.size()) {
            emit(group_[member_++]);
        } else if (segment_ != last_segment_) {
            enter_segment(segment_ + (forwards_ ? 1 : -1));
        } else if (!next_group() && !next_leaf()) {
            return std::nullopt;
        }
    }
    step result = std::move(ready_.front());
    ready_.pop_front();
    return result;
}

bool step_stream::next_leaf() {
    if (query_major()) {
        if (leaf_ != nullptr) return false;
        leaf_ = &whole_;
    } else {
        leaf_ = leaves_.next();
        if (leaf_ == nullptr) return false;
    }
    strips_ = (leaf_->query_blocks() + plan_.strip_blocks - 1) / plan_.strip_blocks;
    next_strip_ = 0;
    return true;
}

bool step_stream::next_group() {
    const bool from_last = query_major() && plan_.problem.mask != mask_rule::none;
    while (leaf_ != nullptr && next_strip_ < strips_) {
        group_.clear();
        const std::int64_t end = std::min(strips_, next_strip_ + plan_.interleave);
        const bool forwards = !forwards_;
        std::int64_t first_key = leaf_->key_blocks();
        std::int64_t last_key = -1;
        for (std::int64_t i = next_strip_; i < end; ++i) {
            const std::int64_t place = forwards == from_last ? end - 1 - (i - next_strip_) : i;
            strip_visit visit;
            fill_strip(from_last ? strips_ - 1 - place : place, visit);
            if (visit.blocks.empty()) continue;
            for (const strip_block& work : visit.blocks) {
                first_key = std::min(first_key, work.first_key);
                last_key = std::max(last_key, work.last_key);
            }
            group_.push_back(std::move(visit));
        }
        next_strip_ = end;
        if (group_.empty()) continue;
        forwards_ = forwards;
        const std::int64_t low = first_key / plan_.segment_blocks;
        const std::int64_t high = last_key / plan_.segment_blocks;
        last_segment_ = forwards_ ? high : low;
        enter_segment(forwards_ ? low : high);
        return true;
    }
    return false;
}

void step_stream::fill_strip(std::int64_t strip, strip_visit& visit) const {
    const auto& runs = leaf_->queries;
    const std::int64_t begin = strip * plan_.strip_blocks;
    const std::int64_t end = std::min(begin + plan_.strip_blocks, leaf_->query_blocks());
    auto run = std::ranges::upper_bound(runs, begin, {}, &block_run::position) - 1;
    for (std::int64_t position = begin; position < end; ++position) {
        if (position == run->position + run->count) ++run;
        const std::int64_t block = run->first + position - run->position;
        if (const auto work =
                work_of(*leaf_, block, static_cast<std::size_t>(run - runs.begin()))) {
            visit.blocks.push_back(*work);
        }
    }
}

void step_stream::enter_segment(std::int64_t segment) {
    const auto& runs = leaf_->keys;
    const std::int64_t begin = segment * plan_.segment_blocks;
    const std::int64_t end = std::min(begin + plan_.segment_blocks, leaf_->key_blocks());
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

void step_stream::emit(strip_visit& visit) {
    const bool partial = plan_.flow == state_flow::merged;
    const std::int64_t first_key = segment_ * plan_.segment_blocks;
    const std::int64_t end_key = first_key + static_cast<std::int64_t>(segment_keys_.size());
    const std::size_t width = segment_keys_.size();
    std::vector<bool>& touched = partial ? partial_touched_ : touched_;
    step task;
    std::int64_t pairs = 0;
    kinds_.clear();
    for (const strip_block& work : visit.blocks) {
        if (work.last_key < first_key || work.first_key >= end_key) continue;
        bool any = false;
        for (const segment_key& key : segment_keys_) {
            const pair_kind kind = leaf_->owns(work.run, key.run)
                                       ? visibility_.kind(work.block, key.block)
                                       : pair_kind::none;
            kinds_.push_back(kind);
            if (kind == pair_kind::none) continue;
            any = true;
            pairs += visibility_.pairs(work.block, key.block);
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
    task.kind = step_kind::attend;
    if (visit.number < 0) visit.number = visits_++;
    task.strip = visit.number;
    task.partial = partial;
    task.flops = flops_per_pair(plan_.problem) * pairs;
    task.quorum = query_major() ? common_owner(task) : leaf_->index;
    ready_.push_back(std::move(task));
    emit_completed(visit);
}

/// Merges and finalizes the blocks of the visit whose last pair lies in this segment.
void step_stream::emit_completed(const strip_visit& visit) {
    for (const strip_block& work : visit.blocks) {
        const std::int64_t last = forwards_ ? work.last_key : work.first_key;
        if (last / plan_.segment_blocks != segment_) continue;
        const bool complete = --visits_left_[work.block] == 0;
        step follow;
        follow.strip = visit.number;
        follow.queries = {work.block};
        if (plan_.flow == state_flow::merged) {
            follow.kind = step_kind::merge;
            follow.quorum = leaf_->index;
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
    const std::int64_t owner = divide_.owner(task.queries.front(), task.keys.front());
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
            divide_.owner(task.queries[i / task.keys.size()], task.keys[i % task.keys.size()]);
        if (common >= 0 && one != common) return -1;
        common = one;
    }
    return common;
}

} // namespace cqsa
