// SPDX-License-Identifier: Apache-2.0
#include "planner/key_loads.hpp"

#include "planner/step_stream.hpp"
#include "planner/visible_stairs.hpp"

#include <algorithm>
#include <vector>

namespace cqsa {
namespace {

/// Walks over [0, v) back and forth in turn, from the longest to the shortest, each of which finds
/// what the last one left of the `resident` most recently used blocks:
///  - on the way up, which follows a way down to 0, the first min(v, resident) blocks;
///  - on the way down, which follows a way up to b ≥ v, the blocks from b − resident to v.
/// A way up to v + 1 that begins with its last block finds one less and leaves one more of use to
/// one down from v or v − 1: the sum is the same. A first way up that begins with up to three
/// segments, the blocks from v on, leaves min(v, resident).
std::int64_t query_major_loads(const plan& plan, std::int64_t resident) {
    const Staircase groups = group_stairs(plan);
    const std::int64_t count = groups.count();
    if (count == 0 || groups.top() == 0) return 0;
    const std::int64_t loaded = key_tokens_of(plan, groups);
    if (resident <= 0) return loaded;

    // The last group walks first: groups count − 3, count − 5, … walk up after a way down.
    const Staircase up = groups.every(2, (count - 1) % 2, (count - 1) / 2);
    const Staircase up_kept = up.capped(resident);
    std::int64_t kept = key_tokens_of(plan, up_kept.sum(), times_all_blocks(plan, up_kept));

    const Staircase down = groups.every(2, count % 2, count / 2);
    const Staircase before = groups.every(2, count % 2 + 1, count / 2);
    const std::int64_t top = groups.top();
    std::int64_t down_kept = 0;
    if (resident >= groups.greatest_step()) {
        down_kept = down.sum() - before.lowered(resident).sum();
    } else {
        // Only at the ceiling do neighbours differ by less than what is resident.
        const std::int64_t below = down.count_up_to(top - 1);
        down_kept = (down.count() - below) * std::min(resident, top);
        if (below > 0 && before.value(below - 1) == top) {
            const std::int64_t value = down.value(below - 1);
            down_kept += std::clamp<std::int64_t>(value - top + resident, 0, value);
        }
    }
    kept += key_tokens_of(plan, down_kept, times_all_blocks(plan, down));
    const std::int64_t value = groups.value(std::max<std::int64_t>(0, count - 2));
    const std::int64_t highest = groups.value(count - 1);
    if (highest - value <= 3 * plan.segment_blocks) {
        const std::int64_t missing = std::max<std::int64_t>(0, highest - resident);
        const std::int64_t counted = std::max<std::int64_t>(0, value - missing);
        kept += (std::min(value, resident) - counted) * plan.keys.block_tokens;
    }
    return loaded - kept;
}

/// Under causality the query chunks of a perfect quorum see 1, …, k − 1 chunks of keys: the mean of
/// what is kept of a walk.
double mean_of_causal_walks(double k, double chunk_tokens, double resident_tokens) {
    double sum = 0;
    for (int chunks = 1; chunks < k; ++chunks) {
        sum += std::min(chunks * chunk_tokens, resident_tokens);
    }
    return k > 1 ? sum / (k - 1) : resident_tokens;
}

/// Leaves share little with each other. Within one, the groups of a query chunk walk over the same
/// keys, so each finds all that is kept; groups of different chunks walk over keys that differ in
/// one or two chunks and find a part of it, which `between` fits to simulate_key_loads.
std::int64_t estimate_quorum_major_loads(const plan& plan, const workload& work,
                                         std::int64_t resident) {
    const std::int64_t all = work.group_key_tokens;
    if (resident >= plan.keys.blocks()) return std::min(all, plan.keys.tokens);
    const auto k = static_cast<double>(plan.difference_set.size());
    const auto chunks = static_cast<double>(plan.chunks);
    const bool masked = plan.problem.mask != mask_rule::none;
    const double chunk_tokens = static_cast<double>(plan.keys.tokens) / chunks;
    const double leaf_tokens = k * chunk_tokens;
    const auto leaves = static_cast<double>(work.leaves);
    const auto groups = static_cast<double>(work.groups);
    const double chunk_visits = std::min(groups, leaves * (masked ? k - 0.5 : k));
    const double mean_walk = static_cast<double>(all) / groups;
    const auto resident_tokens = static_cast<double>(resident * plan.keys.block_tokens);
    const double kept = masked ? mean_of_causal_walks(k, chunk_tokens, resident_tokens)
                               : std::min(mean_walk, resident_tokens);
    const double between =
        masked ? 0.45 + 0.5 * resident_tokens / leaf_tokens : std::max(0.0, (k - 2) / (k - 1));
    // What a leaf needs and the last one did not leave: two leaves share one chunk.
    const double leaf_chunks = masked ? k - 2 + 1 / k : k - 1;
    const auto least_loads =
        std::clamp(static_cast<std::int64_t>((leaves * leaf_chunks + 1) * chunk_tokens),
                   std::min(all, plan.keys.tokens), all);
    const auto key_tokens = static_cast<double>(plan.keys.tokens);
    if (resident_tokens >= leaf_tokens) {
        const double more = (resident_tokens - leaf_tokens) / (key_tokens - leaf_tokens);
        return least_loads -
               static_cast<std::int64_t>(more * (static_cast<double>(least_loads) - key_tokens));
    }
    const double loads = static_cast<double>(all) - (groups - chunk_visits) * kept -
                         std::max(0.0, chunk_visits - leaves) * between * kept;
    return std::clamp(static_cast<std::int64_t>(loads), least_loads, all);
}

/// Blocks in the order of their last use.
class RecentlyUsed {
  public:
    RecentlyUsed(std::int64_t blocks, std::int64_t capacity)
        : older_(blocks + 1, none), newer_(blocks + 1, none),
          room_(std::max<std::int64_t>(1, capacity)), ends_(static_cast<std::size_t>(blocks)) {
        older_[ends_] = newer_[ends_] = ends_;
    }

    /// Whether the block must be loaded before it is used now.
    bool use(std::size_t block) {
        const bool loaded = older_[block] == none;
        if (!loaded) {
            unlink(block);
        } else if (room_ > 0) {
            --room_;
        } else {
            const std::size_t oldest = newer_[ends_];
            unlink(oldest);
            older_[oldest] = none;
        }
        older_[block] = older_[ends_];
        newer_[block] = ends_;
        newer_[older_[block]] = block;
        older_[ends_] = block;
        return loaded;
    }

  private:
    static constexpr std::size_t none = static_cast<std::size_t>(-1);

    void unlink(std::size_t block) {
        newer_[older_[block]] = newer_[block];
        older_[newer_[block]] = older_[block];
    }

    std::vector<std::size_t> older_; ///< a ring through ends_, whose older one is the newest
    std::vector<std::size_t> newer_;
    std::int64_t room_;
    std::size_t ends_;
};

} // namespace

std::int64_t predict_key_loads(const plan& plan, const workload& work,
                               std::int64_t resident_blocks) {
    if (work.groups == 0) return 0;
    return plan.order == task_order::query_major
               ? query_major_loads(plan, resident_blocks)
               : estimate_quorum_major_loads(plan, work, resident_blocks);
}

std::int64_t simulate_key_loads(const plan& plan, std::int64_t resident_blocks) {
    RecentlyUsed cache(plan.keys.blocks(), resident_blocks);
    std::int64_t loaded_tokens = 0;
    step_stream steps(plan);
    while (const auto step = steps.next()) {
        for (const std::int64_t key : step->keys) {
            if (cache.use(static_cast<std::size_t>(key))) loaded_tokens += plan.keys.size(key);
        }
    }
    return loaded_tokens;
}

} // namespace cqsa
