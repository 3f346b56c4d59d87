// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/plan.hpp"
#include "planner/staircase.hpp"

#include <algorithm>
#include <cstdint>

namespace cqsa {

/// The tokens of the first `blocks` blocks of a grid.
constexpr std::int64_t tokens_of_first(const block_grid& grid, std::int64_t blocks) {
    return std::min(grid.tokens, blocks * grid.block_tokens);
}

/// Key blocks that the last query of each run of `run_tokens` queries sees: of strips, or blocks.
Staircase visible_stairs(const plan& plan, std::int64_t run_tokens);

/// Key blocks that the longest strip of each group of strips sees, in ascending order, when all
/// keys are in reach (query-major plans, or all the leaves of a quorum-major one together). Causal
/// query-major groups are counted off from the last strip, all others from the first.
Staircase group_stairs(const plan& plan);

/// How many of the steps are as high as all key blocks, the last and perhaps short one included.
std::int64_t times_all_blocks(const plan& plan, const Staircase& visible);

/// The tokens of `blocks` key blocks, with repetition, among them `times_last` times the last one.
std::int64_t key_tokens_of(const plan& plan, std::int64_t blocks, std::int64_t times_last);

/// The tokens of the first v(i) key blocks, summed over all i.
std::int64_t key_tokens_of(const plan& plan, const Staircase& visible);

} // namespace cqsa
