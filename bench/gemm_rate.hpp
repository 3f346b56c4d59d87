// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/problem.hpp"

#include <cstdint>
#include <functional>

namespace cqsa::bench {

/// Measures what the small-GEMM library (libxsmm, compiled to the machine's code at run time)
/// reaches on the products of attention alone, FLOP/s: for each tile of query rows, K and V of one
/// head stream by in tiles of keys, S = Q·Kᵀ and O += P·V, without softmax, on `threads` at once.
/// Empty where the library has no kernel for the type, or this build has no library.
///
/// The tiles, 64 rows by 256 keys, suit the library: its rate is the same within 3 % with 16 rows
/// or 512 keys, and lower with 1024.
std::function<double()> gemm_library(data_type type, std::int64_t kv_tokens, std::int64_t head_dim,
                                     int threads);

} // namespace cqsa::bench
