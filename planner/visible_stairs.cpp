// SPDX-License-Identifier: Apache-2.0
#include "planner/visible_stairs.hpp"

namespace cqsa {
namespace {

std::int64_t divided_up(std::int64_t a, std::int64_t b) {
    return (a + b - 1) / b;
}

} // namespace

Staircase visible_stairs(const plan& plan, std::int64_t run_tokens) {
    const problem& p = plan.problem;
    const std::int64_t runs = divided_up(p.tokens, run_tokens);
    const std::int64_t keys = plan.keys.block_tokens;
    if (p.mask == mask_rule::none) return {runs, 0, p.kv_tokens, keys, plan.keys.blocks()};
    // The last run may be short: the keys of the last query are the ceiling of all.
    const std::int64_t most =
        std::clamp<std::int64_t>(p.tokens + p.causal_offset(), 0, p.kv_tokens);
    return {runs, run_tokens, run_tokens + p.causal_offset(), keys, divided_up(most, keys)};
}

Staircase group_stairs(const plan& plan) {
    const Staircase strips = visible_stairs(plan, plan.strip_blocks * plan.queries.block_tokens);
    const std::int64_t groups = divided_up(strips.count(), plan.interleave);
    const bool from_last =
        plan.order == task_order::query_major && plan.problem.mask != mask_rule::none;
    const std::int64_t first =
        from_last ? strips.count() - 1 - (groups - 1) * plan.interleave : plan.interleave - 1;
    // A last group of fewer strips ends with the last strip of all, which is at the ceiling.
    return strips.every(plan.interleave, first, groups);
}

std::int64_t times_all_blocks(const plan& plan, const Staircase& visible) {
    return visible.count() - visible.count_up_to(plan.keys.blocks() - 1);
}

std::int64_t key_tokens_of(const plan& plan, std::int64_t blocks, std::int64_t times_last) {
    const std::int64_t missing = plan.keys.blocks() * plan.keys.block_tokens - plan.keys.tokens;
    return blocks * plan.keys.block_tokens - times_last * missing;
}

std::int64_t key_tokens_of(const plan& plan, const Staircase& visible) {
    return key_tokens_of(plan, visible.sum(), times_all_blocks(plan, visible));
}

} // namespace cqsa
