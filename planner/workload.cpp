// SPDX-License-Identifier: Apache-2.0
#include "planner/workload.hpp"

#include "planner/strip_groups.hpp"
#include "planner/visible_stairs.hpp"

#include <algorithm>
#include <vector>

namespace cqsa {
namespace {

std::int64_t strip_tokens(const plan& plan) {
    return plan.strip_blocks * plan.queries.block_tokens;
}

double largest_task(const plan& plan) {
    return static_cast<double>(tokens_of_first(plan.queries, plan.strip_blocks)) *
           static_cast<double>(tokens_of_first(plan.keys, plan.segment_blocks));
}

workload query_major_workload(const plan& plan) {
    const Staircase strips = visible_stairs(plan, strip_tokens(plan));
    const Staircase blocks = visible_stairs(plan, plan.queries.block_tokens);
    const Staircase groups = group_stairs(plan);
    workload work;
    work.tasks = strips.divided_by(plan.segment_blocks).sum();
    work.visits = strips.count() - strips.count_up_to(0);
    work.block_visits = blocks.count() - blocks.count_up_to(0);
    work.live_tokens = work.visit_tokens =
        plan.queries.tokens - tokens_of_first(plan.queries, blocks.count_up_to(0));
    work.groups = groups.count() - groups.count_up_to(0);
    work.group_key_tokens = key_tokens_of(plan, groups);
    work.leaves = work.tasks > 0 ? 1 : 0;
    return work;
}

bool has_uniform_chunks(const plan& plan) {
    return plan.depth == 1 && plan.queries.chunk_blocks % plan.strip_blocks == 0 &&
           plan.keys.chunk_blocks % plan.segment_blocks == 0 &&
           plan.queries.chunk_blocks / plan.strip_blocks % plan.interleave == 0;
}

/// The quorums that own a pair of a query chunk, and the first key chunk that each owns with it.
struct owner_start {
    std::int64_t first_key_chunk;
    std::int64_t quorum;
};

std::vector<owner_start> owners_of(const QuorumSystem& quorums, std::int64_t chunk) {
    const auto k = static_cast<std::int64_t>(quorums.set().size());
    std::vector<owner_start> owners;
    owners.reserve(k);
    for (const std::int64_t a : quorums.set()) {
        const std::int64_t s = a <= chunk ? chunk - a : chunk - a + quorums.chunks();
        std::int64_t place = 0;
        while (place < k && quorums.owner(chunk, quorums.member(s, place)) != s)
            ++place;
        if (place < k) owners.push_back({quorums.member(s, place), s});
    }
    return owners;
}

/// When strips and segments divide the chunks, each rectangle of them has one owner, so tasks and
/// walks are those of the query-major order; visits are counted chunk by chunk, owner by owner.
workload uniform_quorum_workload(const plan& plan) {
    const QuorumSystem quorums(plan.chunks, plan.difference_set);
    const Staircase strips = visible_stairs(plan, strip_tokens(plan));
    const Staircase blocks = visible_stairs(plan, plan.queries.block_tokens);
    const Staircase groups = group_stairs(plan);
    workload work;
    work.tasks = strips.divided_by(plan.segment_blocks).sum();
    work.live_tokens = plan.queries.tokens - tokens_of_first(plan.queries, blocks.count_up_to(0));
    work.group_key_tokens = key_tokens_of(plan, groups);
    std::vector<bool> has_work(plan.chunks, false);
    const std::int64_t chunk_blocks = plan.queries.chunk_blocks;
    for (std::int64_t chunk = 0; chunk * chunk_blocks < blocks.count(); ++chunk) {
        // Of the chunk's blocks (strips, groups), those that see more than the key chunks before
        // the owner's first one.
        const auto seeing = [&](const Staircase& all, std::int64_t per_chunk,
                                const owner_start& owner) {
            const std::int64_t begin = std::min(all.count(), chunk * per_chunk);
            const std::int64_t end = std::min(all.count(), begin + per_chunk);
            const std::int64_t blind =
                all.count_up_to(owner.first_key_chunk * plan.keys.chunk_blocks);
            return end - std::clamp(blind, begin, end);
        };
        const std::int64_t end_block = std::min(blocks.count(), (chunk + 1) * chunk_blocks);
        for (const owner_start& owner : owners_of(quorums, chunk)) {
            const std::int64_t seen = seeing(blocks, chunk_blocks, owner);
            if (seen == 0) continue;
            has_work[owner.quorum] = true;
            work.block_visits += seen;
            work.visit_tokens += tokens_of_first(plan.queries, end_block) -
                                 tokens_of_first(plan.queries, end_block - seen);
            const std::int64_t chunk_strips = chunk_blocks / plan.strip_blocks;
            work.visits += seeing(strips, chunk_strips, owner);
            work.groups += seeing(groups, chunk_strips / plan.interleave, owner);
        }
    }
    work.leaves = std::ranges::count(has_work, true);
    return work;
}

/// Any quorum-major plan: every group's visible owned segments are marked run by run.
workload general_quorum_workload(const plan& plan) {
    workload work;
    GroupStream groups(plan);
    const Visibility& visibility = groups.visibility();
    const std::int64_t idle = visible_stairs(plan, plan.queries.block_tokens).count_up_to(0);
    work.live_tokens = plan.queries.tokens - tokens_of_first(plan.queries, idle);
    std::int64_t leaf_index = -1;
    std::vector<char> segments;
    std::vector<std::int64_t> walked; ///< visible blocks of each key run of the leaf
    while (const strip_group* group = groups.next()) {
        const leaf& leaf = *group->leaf;
        if (leaf.index != leaf_index) ++work.leaves;
        leaf_index = leaf.index;
        ++work.groups;
        walked.assign(leaf.keys.size(), 0);
        for (const strip_work& strip : group->strips) {
            ++work.visits;
            work.block_visits += static_cast<std::int64_t>(strip.size());
            segments.assign(group->last_segment - group->first_segment + 1, 0);
            for (std::size_t i = 0; i < strip.size(); ++i) {
                work.visit_tokens += plan.queries.size(strip[i].block);
                // Of a run the last block sees most.
                if (i + 1 < strip.size() && strip[i + 1].run == strip[i].run) continue;
                const std::int64_t visible = visibility.visible_blocks(strip[i].block);
                for (std::size_t run = 0; run < leaf.keys.size(); ++run) {
                    const block_run& keys = leaf.keys[run];
                    if (!leaf.owns(strip[i].run, run) || keys.first >= visible) continue;
                    const std::int64_t seen = std::min(keys.count, visible - keys.first);
                    walked[run] = std::max(walked[run], seen);
                    const std::int64_t last = (keys.position + seen - 1) / plan.segment_blocks;
                    for (std::int64_t s = keys.position / plan.segment_blocks; s <= last; ++s) {
                        segments[s - group->first_segment] = 1;
                    }
                }
            }
            work.tasks += std::ranges::count(segments, 1);
        }
        for (std::size_t run = 0; run < leaf.keys.size(); ++run) {
            const std::int64_t first = leaf.keys[run].first;
            work.group_key_tokens +=
                tokens_of_first(plan.keys, first + walked[run]) - tokens_of_first(plan.keys, first);
        }
    }
    return work;
}

} // namespace

workload measure_workload(const plan& plan) {
    workload work;
    if (plan.order == task_order::query_major) {
        work = query_major_workload(plan);
    } else if (has_uniform_chunks(plan)) {
        work = uniform_quorum_workload(plan);
    } else {
        work = general_quorum_workload(plan);
    }
    work.largest_task_pairs = largest_task(plan);
    return work;
}

} // namespace cqsa
