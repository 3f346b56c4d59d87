// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/data_view.hpp"
#include "codelets/state.hpp"

#include <cstdint>

namespace cqsa {

/// finalize: output and log-sum-exp of a block whose state is complete.
///   O = acc / l   (in out_type),   lse = m + ln l   (natural log, state_type)
/// A row that saw no key (l = 0) gives O = 0 and lse = −inf, never NaN.
struct finalize_task {
    data_type type = data_type::f32;     ///< input type of the attention
    data_type out_type = data_type::f32; ///< element type of `out`
    std::int64_t batch = 1;
    std::int64_t heads = 1;
    std::int64_t tokens = 0;
    std::int64_t head_dim = 0;
    state_view state;
    bool fresh = false; ///< the state was never updated: no row saw a key
    mutable_tensor_view out;
    mutable_row_view lse; ///< data == nullptr: not wanted
};

namespace reference {
void finalize(const finalize_task& task);
}
namespace openmp {
void finalize(const finalize_task& task, int threads);
}
namespace cuda {
/// Enqueues on `stream` (a cudaStream_t); throws Error(device) when the launch fails.
void finalize(const finalize_task& task, void* stream);
} // namespace cuda

} // namespace cqsa
