// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/problem.hpp"

#include <cstdint>

namespace cqsa {

/// A non-owning view of [batch, heads, tokens, head_dim]; head_dim is contiguous, the other strides
/// are free and count elements. The memory is where the operation that takes the view runs.
struct tensor_view {
    const void* data = nullptr;
    std::int64_t batch_stride = 0;
    std::int64_t head_stride = 0;
    std::int64_t token_stride = 0;
};

/// The same, to be written.
struct mutable_tensor_view {
    void* data = nullptr;
    std::int64_t batch_stride = 0;
    std::int64_t head_stride = 0;
    std::int64_t token_stride = 0;
};

/// A view of [batch, heads, tokens] to be written (log-sum-exp); strides count elements.
struct mutable_row_view {
    void* data = nullptr;
    std::int64_t batch_stride = 0;
    std::int64_t head_stride = 0;
    std::int64_t token_stride = 1;
};

} // namespace cqsa
