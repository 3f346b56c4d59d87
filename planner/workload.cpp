// SPDX-License-Identifier: Apache-2.0
#include "planner/workload.hpp"

#include "planner/strip_groups.hpp"

#include <algorithm>
#include <vector>

namespace cqsa {
namespace {

std::int64_t divided_up(std::int64_t a, std::int64_t b) {
    return (a + b - 1) / b;
}

std::int64_t tokens_of_first(const block_grid& grid, std::int64_t blocks) {
    return std::min(grid.tokens, blocks * grid.block_tokens);
}

/// The tasks and walks of plans in which every strip meets each of its visible segments once in all
/// and every group stays together: strips and segments of whole pieces of chunks, or query-major.
class UniformWalk {
  public:
    explicit UniformWalk(const plan& plan)
        : plan_(plan), visibility_(plan.problem, plan.queries, plan.keys),
          strips_(divided_up(plan.queries.blocks(), plan.strip_blocks)) {}

    [[nodiscard]] std::int64_t strips() const { return strips_; }
    [[nodiscard]] std::int64_t end_block(std::int64_t strip) const {
        return std::min(plan_.queries.blocks(), (strip + 1) * plan_.strip_blocks);
    }
    /// Key blocks that the strip sees.
    [[nodiscard]] std::int64_t visible_blocks(std::int64_t strip) const {
        return visibility_.visible_blocks(end_block(strip) - 1);
    }
    [[nodiscard]] std::int64_t visible_segments(std::int64_t strip) const {
        return divided_up(visible_blocks(strip), plan_.segment_blocks);
    }
    [[nodiscard]] const Visibility& visibility() const { return visibility_; }

  private:
    const plan& plan_;
    Visibility visibility_;
    std::int64_t strips_;
};

/// Quorums that own a pair of query chunk i and one of the first key chunks: how many begin at
/// which key chunk.
class OwnersOfChunk {
  public:
    OwnersOfChunk(const QuorumSystem& quorums, std::int64_t i) {
        for (const std::int64_t a : quorums.set()) {
            const std::int64_t s = a <= i ? i - a : i - a + quorums.chunks();
            for (const std::int64_t j : quorums.quorum(s)) {
                if (quorums.owner(i, j) != s) continue;
                firsts_.push_back(j);
                break;
            }
        }
        std::ranges::sort(firsts_);
    }
    [[nodiscard]] std::int64_t among_first(std::int64_t key_chunks) const {
        return std::ranges::lower_bound(firsts_, key_chunks) - firsts_.begin();
    }

  private:
    std::vector<std::int64_t> firsts_;
};

double largest_task(const plan& plan) {
    return static_cast<double>(tokens_of_first(plan.queries, plan.strip_blocks)) *
           static_cast<double>(tokens_of_first(plan.keys, plan.segment_blocks));
}

/// Rows see more keys as they go on, so the blocks that see none come first: how many do.
std::int64_t idle_blocks(const plan& plan, const Visibility& visibility) {
    std::int64_t low = 0;
    std::int64_t high = plan.queries.blocks();
    while (low < high) {
        const std::int64_t middle = (low + high) / 2;
        if (visibility.visible_keys(middle) > 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

std::int64_t count_live_tokens(const plan& plan, const Visibility& visibility) {
    return plan.queries.tokens - tokens_of_first(plan.queries, idle_blocks(plan, visibility));
}

workload query_major_workload(const plan& plan) {
    const UniformWalk walk(plan);
    workload work;
    work.live_tokens = work.visit_tokens = count_live_tokens(plan, walk.visibility());
    work.block_visits = plan.queries.blocks() - idle_blocks(plan, walk.visibility());
    for (std::int64_t strip = 0; strip < walk.strips(); ++strip) {
        const std::int64_t segments = walk.visible_segments(strip);
        work.tasks += segments;
        work.visits += segments > 0 ? 1 : 0;
    }
    const bool from_last = plan.problem.mask != mask_rule::none;
    for (std::int64_t first = 0; first < walk.strips(); first += plan.interleave) {
        const std::int64_t last = std::min(walk.strips(), first + plan.interleave) - 1;
        const std::int64_t visible =
            walk.visible_blocks(from_last ? walk.strips() - 1 - first : last);
        if (visible == 0) continue;
        ++work.groups;
        work.group_key_tokens += tokens_of_first(plan.keys, visible);
    }
    work.leaves = work.tasks > 0 ? 1 : 0;
    return work;
}

bool has_uniform_chunks(const plan& plan) {
    return plan.depth == 1 && plan.queries.chunk_blocks % plan.strip_blocks == 0 &&
           plan.keys.chunk_blocks % plan.segment_blocks == 0 &&
           plan.queries.chunk_blocks / plan.strip_blocks % plan.interleave == 0;
}

/// In a perfect division of strips and segments into chunks each rectangle has one owner, so tasks
/// and walks are those of the query-major order; visits are counted chunk by chunk.
workload uniform_quorum_workload(const plan& plan) {
    const UniformWalk walk(plan);
    const QuorumSystem quorums(plan.chunks, plan.difference_set);
    workload work;
    work.live_tokens = count_live_tokens(plan, walk.visibility());
    std::vector<bool> has_work(plan.chunks, false);
    const std::int64_t chunks = divided_up(plan.queries.blocks(), plan.queries.chunk_blocks);
    const std::int64_t chunk_strips = plan.queries.chunk_blocks / plan.strip_blocks;
    const auto key_chunks = [&](std::int64_t visible_blocks) {
        return divided_up(visible_blocks, plan.keys.chunk_blocks);
    };
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
        const OwnersOfChunk owners(quorums, chunk);
        const std::int64_t end = std::min(walk.strips(), (chunk + 1) * chunk_strips);
        std::int64_t seen_chunks = 0;
        for (std::int64_t strip = chunk * chunk_strips; strip < end; ++strip) {
            work.tasks += walk.visible_segments(strip);
            work.visits += owners.among_first(key_chunks(walk.visible_blocks(strip)));
            for (std::int64_t block = strip * plan.strip_blocks; block < walk.end_block(strip);
                 ++block) {
                seen_chunks = key_chunks(walk.visibility().visible_blocks(block));
                const std::int64_t visits = owners.among_first(seen_chunks);
                work.block_visits += visits;
                work.visit_tokens += visits * plan.queries.size(block);
            }
        }
        for (std::int64_t j = 0; j < seen_chunks; ++j)
            has_work[quorums.owner(chunk, j)] = true;
        for (std::int64_t first = chunk * chunk_strips; first < end; first += plan.interleave) {
            const std::int64_t visible =
                walk.visible_blocks(std::min(end, first + plan.interleave) - 1);
            work.groups += owners.among_first(key_chunks(visible));
            work.group_key_tokens += tokens_of_first(plan.keys, visible);
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
    work.live_tokens = count_live_tokens(plan, visibility);
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

/// The blocks that walks over [0, v_g), back and forth in turn, do not find among the
/// `resident_blocks` most recently used ones.
std::int64_t query_major_loads(const plan& plan, std::int64_t resident_blocks) {
    const UniformWalk walk(plan);
    const bool from_last = plan.problem.mask != mask_rule::none;
    std::int64_t loaded_tokens = 0;
    std::int64_t before = 0;
    bool forwards = true;
    for (std::int64_t first = 0; first < walk.strips(); first += plan.interleave) {
        const std::int64_t last = std::min(walk.strips(), first + plan.interleave) - 1;
        const std::int64_t visible =
            walk.visible_blocks(from_last ? walk.strips() - 1 - first : last);
        if (visible == 0) continue;
        // Left by a walk up to `before`: its last blocks; by a walk down to 0: the first ones.
        const std::int64_t kept = std::min(before, resident_blocks);
        const std::int64_t kept_begin = forwards ? 0 : before - kept;
        const std::int64_t kept_end = std::min(visible, kept_begin + kept);
        loaded_tokens += tokens_of_first(plan.keys, visible);
        if (kept_end > kept_begin) {
            loaded_tokens -=
                tokens_of_first(plan.keys, kept_end) - tokens_of_first(plan.keys, kept_begin);
        }
        before = visible;
        forwards = !forwards;
    }
    return loaded_tokens;
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

std::int64_t loaded_key_tokens(const plan& plan, const workload& work,
                               std::int64_t resident_blocks) {
    if (work.groups == 0) return 0;
    if (plan.order == task_order::query_major) return query_major_loads(plan, resident_blocks);
    if (resident_blocks >= plan.keys.blocks()) {
        return std::min(work.group_key_tokens, plan.keys.tokens);
    }
    // Groups of a leaf walk over nearly the same keys, so each finds what the last one left, as far
    // as that was kept; the next leaf shares little.
    const std::int64_t walk_tokens = work.group_key_tokens / work.groups;
    const std::int64_t kept = std::min(walk_tokens, resident_blocks * plan.keys.block_tokens);
    return work.group_key_tokens - (work.groups - work.leaves) * kept;
}

} // namespace cqsa
