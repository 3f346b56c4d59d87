// SPDX-License-Identifier: Apache-2.0
#include "planner/strip_groups.hpp"

#include <algorithm>

namespace cqsa {

std::int64_t strip_group::visited_first() const {
    if (!forwards) return last_segment;
    return turn_segment < last_segment ? turn_segment + 1 : first_segment;
}

std::int64_t strip_group::visited_after(std::int64_t segment) const {
    if (!forwards) return segment - 1;
    return segment == last_segment ? first_segment : segment + 1;
}

std::int64_t strip_group::visited_last(std::int64_t first, std::int64_t last) const {
    if (!forwards) return first;
    return first <= turn_segment ? std::min(last, turn_segment) : last;
}

GroupStream::GroupStream(const plan& plan)
    : divide_(QuorumSystem(plan.chunks, plan.difference_set), plan.depth, plan.queries.blocks(),
              plan.keys.blocks()),
      visibility_(plan.problem, plan.queries, plan.keys), leaves_(divide_),
      query_major_(plan.order == task_order::query_major),
      from_last_(query_major_ && plan.problem.mask != mask_rule::none),
      strip_blocks_(plan.strip_blocks), segment_blocks_(plan.segment_blocks),
      interleave_(plan.interleave) {
    if (query_major_) whole_ = whole_sequence(divide_.query_blocks(), divide_.key_blocks());
    group_.forwards = false;
}

const strip_group* GroupStream::next() {
    do {
        while (next_strip_ < strips_) {
            const std::int64_t begin = next_strip_;
            const std::int64_t end = std::min(strips_, begin + interleave_);
            const bool forwards = !group_.forwards;
            std::int64_t first_key = leaf_->key_blocks();
            std::int64_t last_key = -1;
            group_.strips.clear();
            for (std::int64_t i = 0; i < end - begin; ++i) {
                const std::int64_t place = forwards == from_last_ ? end - 1 - i : begin + i;
                strip_work blocks;
                fill(from_last_ ? strips_ - 1 - place : place, blocks);
                if (blocks.empty()) continue;
                for (const strip_block& work : blocks) {
                    first_key = std::min(first_key, work.first_key);
                    last_key = std::max(last_key, work.last_key);
                }
                group_.strips.push_back(std::move(blocks));
            }
            next_strip_ = end;
            if (group_.strips.empty()) continue;
            group_.leaf = leaf_;
            group_.forwards = forwards;
            group_.first_segment = first_key / segment_blocks_;
            group_.last_segment = last_key / segment_blocks_;
            group_.turn_segment = turn_of(begin, end);
            return &group_;
        }
    } while (next_leaf());
    return nullptr;
}

/// Of the group of these strips, in visiting order.
std::int64_t GroupStream::turn_of(std::int64_t begin, std::int64_t end) const {
    const std::int64_t last = group_.last_segment;
    if (!group_.forwards || !from_last_ || end == strips_) return last;
    // The last block of the next group's first strip sees most of that group.
    const std::int64_t seen = visibility_.visible_blocks((strips_ - end) * strip_blocks_ - 1);
    if (seen == 0) return last;
    const std::int64_t next_last = (seen - 1) / segment_blocks_;
    const std::int64_t beyond = last - next_last;
    // See step_stream: the first walk has nothing to push out.
    if (begin == 0) return beyond <= 3 ? next_last : last;
    return beyond == 1 || beyond == 2 ? last - 1 : last;
}

bool GroupStream::next_leaf() {
    if (query_major_) {
        if (leaf_ != nullptr) return false;
        leaf_ = &whole_;
    } else {
        leaf_ = leaves_.next();
        if (leaf_ == nullptr) return false;
    }
    strips_ = (leaf_->query_blocks() + strip_blocks_ - 1) / strip_blocks_;
    next_strip_ = 0;
    return true;
}

void GroupStream::fill(std::int64_t strip_number, strip_work& blocks) const {
    const auto& runs = leaf_->queries;
    const std::int64_t begin = strip_number * strip_blocks_;
    const std::int64_t end = std::min(begin + strip_blocks_, leaf_->query_blocks());
    auto run = std::ranges::upper_bound(runs, begin, {}, &block_run::position) - 1;
    for (std::int64_t position = begin; position < end; ++position) {
        if (position == run->position + run->count) ++run;
        const std::int64_t block = run->first + position - run->position;
        if (const auto work = work_of(block, static_cast<std::size_t>(run - runs.begin()))) {
            blocks.push_back(*work);
        }
    }
}

std::optional<strip_block> GroupStream::work_of(std::int64_t block, std::size_t run) const {
    const std::int64_t visible = visibility_.visible_blocks(block);
    const auto& keys = leaf_->keys;
    std::size_t first = 0;
    while (first < keys.size() && !leaf_->owns(run, first))
        ++first;
    if (first == keys.size() || keys[first].first >= visible) return std::nullopt;
    std::size_t last = keys.size() - 1;
    while (!leaf_->owns(run, last) || keys[last].first >= visible)
        --last;
    const std::int64_t seen = std::min(keys[last].count, visible - keys[last].first);
    return strip_block{block, run, keys[first].position, keys[last].position + seen - 1};
}

} // namespace cqsa
