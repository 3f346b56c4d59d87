// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/plan.hpp"

#include <cstdint>
#include <random>

namespace cqsa::test {

/// A plan with the given problem and division, grids filled in, strips and segments of one block.
plan plan_of(const problem& problem, std::int64_t chunks, int depth, std::int64_t query_block,
             std::int64_t key_block);

/// A consistent plan with everything drawn at random, at most `most_blocks` blocks a side.
plan random_plan(std::mt19937_64& random, std::int64_t most_tokens, std::int64_t most_blocks);

/// The same, but query-major.
plan random_query_major_plan(std::mt19937_64& random, std::int64_t most_tokens,
                             std::int64_t most_blocks);

} // namespace cqsa::test
