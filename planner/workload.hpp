// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/plan.hpp"

#include <cstdint>

namespace cqsa {

/// What the steps of a plan add up to, without enumerating them. The same for both flows.
struct workload {
    std::int64_t tasks = 0;        ///< attend steps
    std::int64_t leaves = 0;       ///< quorums (or the whole sequence) with any work
    std::int64_t groups = 0;       ///< groups of strips that walk together
    std::int64_t visits = 0;       ///< visits of strips
    std::int64_t block_visits = 0; ///< of their blocks: the merge steps of a merged plan
    /// Query tokens, summed over the visits of their blocks.
    std::int64_t visit_tokens = 0;
    /// Query tokens that see a key: those with a visit at all.
    std::int64_t live_tokens = 0;
    /// Key tokens that a group walks over (each once), summed over the groups.
    std::int64_t group_key_tokens = 0;
    double largest_task_pairs = 0; ///< upper bound of the token pairs of one task
    friend bool operator==(const workload&, const workload&) = default;
};

/// Exact for every plan. In O(log) for query-major plans; for quorum-major ones in
/// O(c·k) when strips and segments divide the chunks and groups divide the strips of a
/// chunk, otherwise in O(visits · segments of a leaf).
/// The plan must be valid for step_stream.
workload measure_workload(const plan& plan);

} // namespace cqsa
