// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/problem.hpp"
#include "runtime/attend.hpp"

namespace cqsa::tool {

/// What --verify allows: errors that rounding explains.
struct error_bound {
    double rel_error = 0;
    double lse_abs_error = 0;
};

/// The bound for a problem whose scores have magnitudes up to `largest_score`.
///
/// With u the unit roundoff of the state (fp32, or fp64 for f64), d = head_dim, n = kv_tokens and
/// S = largest_score ≥ scale·|q|·|k|, probabilistic error analysis (Higham and Mary 2019: the
/// constants of the worst case become their roots, times λ) gives, with λ = 4,
///   a score:           δ = λ(√d + 4)uS   products summed in any order, scaling, the argument of
///   exp the sums acc, l:   λ√(n/16)·u        16 or more keys are added at a time exp, merges: 16u
///   + 2u(S + ln n)
/// A score's absolute error is a relative error of its e^s and an absolute one of lse. Outputs get
/// it twice (acc and l), and the roundings of their own type and of e^s before the product with v
/// where kernels multiply 16-bit numbers: one unit roundoff each, and for f16 the e^s below its
/// subnormals. Errors are random, so they average over keys as the values do, and the relative
/// error of the rows' norm obeys the same bound. A lost, doubled or wrongly masked share w of a
/// row's weight shows as |ln(1 - w)| in lse and far more in the output.
error_bound bound_for(const problem& problem, double largest_score);

/// scale · max|q| · max|k|, an upper bound of every |score|; rows with NaN or infinity do not
/// count. Reads all of q and k.
double largest_score(const tensor& q, const tensor& k, double scale);

} // namespace cqsa::tool
