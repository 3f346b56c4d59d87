// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/problem.hpp"

#include <cstddef>
#include <cstdint>

namespace cqsa {

/// The running state of online softmax for one query block, packed in one buffer:
///   acc[batch, heads, tokens, head_dim] = Σ e^{s_j − m} v_j
///   m  [batch, heads, tokens]           = max s_j, natural-log units of the *scaled* score
///   l  [batch, heads, tokens]           = Σ e^{s_j − m}
/// in state_type(input type). The empty state (0, −inf, 0) is the identity of merge.
/// Source of the recurrence: Milakov and Gimelshein, arXiv 1805.02867; Rabe and Staats, 2112.05682.
struct state_view {
    void* acc = nullptr;
    void* m = nullptr;
    void* l = nullptr;
};

/// Byte offsets of a state's three parts in its buffer. Each starts at a multiple of 256 bytes.
struct state_layout {
    std::size_t acc_bytes = 0;
    std::size_t row_bytes = 0;

    constexpr state_layout(const problem& p, std::int64_t tokens)
        : acc_bytes(padded(p.batch * p.heads * tokens * p.head_dim * bytes_of(state_type(p.type)))),
          row_bytes(padded(p.batch * p.heads * tokens * bytes_of(state_type(p.type)))) {}

    [[nodiscard]] constexpr std::size_t bytes() const { return acc_bytes + 2 * row_bytes; }

    [[nodiscard]] state_view view(void* buffer) const {
        auto* base = static_cast<std::byte*>(buffer);
        return {base, base + acc_bytes, base + acc_bytes + row_bytes};
    }

  private:
    static constexpr std::size_t padded(std::int64_t bytes) {
        return (static_cast<std::size_t>(bytes) + 255) / 256 * 256;
    }
};

} // namespace cqsa
