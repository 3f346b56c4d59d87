// SPDX-License-Identifier: Apache-2.0
#include "random_plan.hpp"

#include "planner/difference_set.hpp"
#include "planner/divide.hpp"

#include <algorithm>

namespace cqsa::test {

plan plan_of(const problem& problem, std::int64_t chunks, int depth, std::int64_t query_block,
             std::int64_t key_block) {
    plan plan;
    plan.problem = problem;
    plan.chunks = chunks;
    plan.difference_set = difference_set(chunks);
    plan.depth = depth;
    plan.queries = {problem.tokens, query_block, 1};
    plan.keys = {problem.kv_tokens, key_block, 1};
    plan.queries.chunk_blocks = chunk_cut(plan.queries.blocks(), chunks).chunk_items;
    plan.keys.chunk_blocks = chunk_cut(plan.keys.blocks(), chunks).chunk_items;
    return plan;
}

plan random_plan(std::mt19937_64& random, std::int64_t most_tokens, std::int64_t most_blocks) {
    const auto draw = [&](std::int64_t from, std::int64_t to) {
        return std::uniform_int_distribution<std::int64_t>(from, to)(random);
    };
    const auto one_in = [&](std::int64_t n) { return draw(1, n) == 1; };
    problem problem;
    problem.batch = draw(1, 2);
    problem.heads = draw(1, 3);
    problem.head_dim = draw(1, 8);
    problem.tokens = one_in(20) ? draw(0, 3) : draw(0, most_tokens);
    problem.kv_tokens = one_in(2) ? problem.tokens : one_in(20) ? draw(0, 3) : draw(0, most_tokens);
    problem.mask = static_cast<mask_rule>(draw(0, 2));

    // Small search-made covers are slow to make again and again: most draws take a few values.
    const std::int64_t usual[] = {1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 21, 31, 57, 73, 91, 133};
    const std::int64_t chunks = one_in(8) ? draw(1, 64) : usual[draw(0, 15)];
    const int depth = static_cast<int>(one_in(2) ? 1 : draw(1, 3));
    const auto block = [&](std::int64_t tokens) {
        const std::int64_t least = std::max<std::int64_t>(1, tokens / most_blocks);
        return draw(least, std::max(least, one_in(4) ? tokens : 4 * least));
    };
    plan plan = plan_of(problem, chunks, depth, block(problem.tokens), block(problem.kv_tokens));
    plan.order = static_cast<task_order>(draw(0, 1));
    if (plan.order == task_order::quorum_major) plan.flow = static_cast<state_flow>(draw(0, 1));
    plan.strip_blocks = draw(1, one_in(3) ? most_blocks : 4);
    plan.segment_blocks = draw(1, one_in(3) ? most_blocks : 4);
    plan.interleave = draw(1, 3);
    return plan;
}

plan random_query_major_plan(std::mt19937_64& random, std::int64_t most_tokens,
                             std::int64_t most_blocks) {
    plan plan = random_plan(random, most_tokens, most_blocks);
    plan.order = task_order::query_major;
    plan.flow = state_flow::continued;
    return plan;
}

} // namespace cqsa::test
