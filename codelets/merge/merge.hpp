// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/state.hpp"

#include <cstdint>

namespace cqsa {

/// merge: adds one partial state to another, row by row.
///   m = max(m₁, m₂),  acc = acc₁·e^{m₁−m} + acc₂·e^{m₂−m},  l = l₁·e^{m₁−m} + l₂·e^{m₂−m}
/// Associative and commutative up to rounding; an empty state (l = 0, m = −inf) changes nothing.
/// e^{lse} is never formed and −inf − −inf never evaluated. NaN stays in its row.
struct merge_task {
    data_type type = data_type::f32; ///< input type of the attention; states are state_type(type)
    std::int64_t rows = 0;           ///< batch · heads · tokens
    std::int64_t head_dim = 0;
    state_view into;    ///< updated in place
    state_view from;    ///< only read
    bool fresh = false; ///< `into` holds nothing yet: it becomes a copy of `from`
};

namespace reference {
void merge(const merge_task& task);
}
namespace openmp {
void merge(const merge_task& task, int threads);
}
namespace cuda {
/// Enqueues on `stream` (a cudaStream_t); throws Error(device) when the launch fails.
void merge(const merge_task& task, void* stream);
} // namespace cuda

} // namespace cqsa
