// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/problem.hpp"

#include <cstdint>
#include <optional>

namespace cqsa::bench {

/// What the small-GEMM library (libxsmm, compiled to the machine's code at run time) reaches on the
/// products of attention alone, on the kernels' tile sizes: for each tile of query rows, K and V of
/// one head stream by in tiles of keys, S = Q·Kᵀ and O += P·V, without softmax, on `threads` at
/// once. FLOP/s; empty where the library has no kernel for the type, or this build has no library.
std::optional<double> gemm_library_flops_per_second(data_type type, std::int64_t kv_tokens,
                                                    std::int64_t head_dim, int threads);

} // namespace cqsa::bench
