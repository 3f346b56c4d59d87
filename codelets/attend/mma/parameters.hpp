// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/attend/attend.hpp"

#include <cstdint>

namespace cqsa::cuda::mma {

constexpr int max_query_blocks = 64;
constexpr int max_key_blocks = 64;

struct query_entry {
    tensor_view q;
    float* acc;
    float* m;
    float* l;
    std::int64_t position; ///< with the causal offset
    std::int32_t tokens;
    std::int32_t first_tile; ///< row tiles of the entries before this one
    bool fresh;
};

struct key_entry {
    tensor_view k;
    tensor_view v;
    std::int64_t position;
    std::int32_t tokens;
};

/// What one launch receives, by value.
struct launch_parameters {
    query_entry queries[max_query_blocks];
    key_entry keys[max_key_blocks];
    pair_kind pairs[max_query_blocks][max_key_blocks];
    std::int32_t query_blocks;
    std::int32_t key_blocks;
    std::int32_t row_tiles;
    std::int32_t heads;
    std::int32_t heads_per_kv_head;
    std::int32_t head_dim;
    bool sixteen_bytes; ///< rows start and end at multiples of 16 bytes
    float sign;         ///< of the scale, applied to the queries
    float scale;        ///< |scale|, natural-log units
    float scale_log2;   ///< |scale| · log2(e)
};
static_assert(sizeof(launch_parameters) <= 32764);

} // namespace cqsa::cuda::mma
