// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/problem.hpp"

#include <cstdint>

namespace cqsa {

/// Flops of one visible (query, key) pair over all heads and the batch: a product and a sum per
/// element in q·k and again in p·v.
constexpr std::int64_t flops_per_pair(const problem& p) {
    return 4 * p.head_dim * p.heads * p.batch;
}

/// Visible (query, key) pairs of the whole problem. In double: 1e9 tokens pass 2^53 pairs; exact
/// below.
double visible_pairs(const problem& p);

/// Flops of the whole problem.
inline double total_flops(const problem& p) {
    return static_cast<double>(flops_per_pair(p)) * visible_pairs(p);
}

} // namespace cqsa
