// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/problem.hpp"

#include <cstdint>

namespace cqsa {

/// Bytes of the handles of a block of `tokens` tokens. A handle is one buffer; each array in it
/// starts at a multiple of 256 bytes.
constexpr std::int64_t padded_bytes(std::int64_t bytes) {
    return (bytes + 255) / 256 * 256;
}

/// Q_i.
constexpr std::int64_t query_block_bytes(const problem& p, std::int64_t tokens) {
    return padded_bytes(p.batch * p.heads * tokens * p.head_dim * bytes_of(p.type));
}

/// K_j with V_j.
constexpr std::int64_t key_block_bytes(const problem& p, std::int64_t tokens) {
    return 2 * padded_bytes(p.batch * p.kv_heads * tokens * p.head_dim * bytes_of(p.type));
}

/// S_i or P_{s,i}: acc, m and l (codelets/state.hpp).
constexpr std::int64_t state_block_bytes(const problem& p, std::int64_t tokens) {
    const std::int64_t rows = p.batch * p.heads * tokens * bytes_of(state_type(p.type));
    return padded_bytes(rows * p.head_dim) + 2 * padded_bytes(rows);
}

/// O_i with LSE_i.
constexpr std::int64_t result_block_bytes(const problem& p, std::int64_t tokens) {
    const std::int64_t rows = p.batch * p.heads * tokens;
    return padded_bytes(rows * p.head_dim * bytes_of(p.out_type)) +
           padded_bytes(rows * bytes_of(state_type(p.type)));
}

} // namespace cqsa
