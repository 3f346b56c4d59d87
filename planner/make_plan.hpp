// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/machine.hpp"
#include "planner/plan.hpp"

#include <cstdint>
#include <optional>

namespace cqsa {

/// What the caller wants of the plan. Unset: the planner chooses.
struct plan_request {
    std::optional<std::int64_t> chunks;
    std::optional<int> depth;
    std::optional<task_order> order;
    std::optional<state_flow> flow;
    std::optional<std::int64_t> block_tokens;   ///< rounded up to a multiple of the alignment
    std::optional<std::int64_t> strip_tokens;   ///< a wish: the nearest size that suits the chunks
    std::optional<std::int64_t> segment_tokens; ///< likewise
    double tolerance = 0.02; ///< plans so much slower than the fastest still compete on quorums,
                             ///< unless one GPU does it all
    friend bool operator==(const plan_request&, const plan_request&) = default;
};

/// The plan for a problem on a machine: among divisions (c = 1 and the small perfect sets, or the c
/// asked for), orders, flows, blocks, strips and segments whose predicted peak fits the budgets,
/// the fastest by the model in planner/cost_model.hpp. On a single GPU that model only tells which
/// query-major plans are simulated (planner/schedule.hpp), as many as take a small part of the run,
/// and the fastest of these is meant; quorum-major plans are made there when they are asked for or
/// no other fits. Of plans within `tolerance` of the fastest the one with most independent quorums
/// (merged partial states; not on a single GPU); of plans that differ by no more than the model can
/// tell, the one whose tasks belong to most quorums. Tasks that are too short or too long
/// (planner/machine.hpp) are avoided where that costs no more than 5 %. Every plan is valid for
/// step_stream.
///
/// Throws Error: bad_input (extents negative or too large, heads not a multiple of kv_heads,
/// head_dim outside 1 … 256), usage (a request or a machine that makes no sense), does_not_fit
/// (no plan fits; names the bytes missing).
plan make_plan(const problem& problem, const machine& machine, const plan_request& request = {});

} // namespace cqsa
