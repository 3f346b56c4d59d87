// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/plan.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace cqsa::test {

/// What the steps of a plan add up to.
struct step_totals {
    std::int64_t tasks = 0;
    std::int64_t merges = 0;
    std::int64_t visits = 0;
    double flops = 0;
    std::int64_t most_states = 0;   ///< S_i alive at once, in tokens
    std::int64_t most_partials = 0; ///< P_{s,i} alive at once, in tokens
    std::map<std::int64_t, std::int64_t> quorum_flops;
};

/// Walks over all steps of a plan, holds each against the contract in planner/plan.hpp with
/// arithmetic of its own, and checks that every visible pair of blocks is computed exactly once.
/// The first violation is returned in `problem` (empty when there is none).
struct plan_check {
    std::string problem;
    step_totals totals;
};
plan_check check_steps(const plan& plan);

/// Token by token: how often each (query, key) pair is computed, [tokens][kv_tokens].
std::vector<int> count_token_pairs(const plan& plan);

/// Whether the mask shows key t to query r.
bool sees(const problem& problem, std::int64_t r, std::int64_t t);

/// One line that says which plan it is.
std::string to_text(const plan& plan);

} // namespace cqsa::test
