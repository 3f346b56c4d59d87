// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <cstdint>

/// What one launch of the Hopper kernel receives, by value: a tensor map per query, key and value
/// block (fetched by the copy engine straight from the parameters) and the little that describes
/// how the blocks meet.
namespace cqsa::cuda::hopper {

constexpr int max_query_blocks = 40;
constexpr int max_key_blocks = 88;

/// A query block, its state and where its units stand in the launch's order of units.
struct query_entry {
    float* acc;
    float* m;
    float* l;
    std::int32_t tokens;
    std::int32_t first_unit; ///< units of the entries before this one
    std::int32_t fresh;
    std::int32_t row_keys; ///< that each row sees in all its attends, at least; 0: not known
};

struct launch_parameters {
    CUtensorMap query_maps[max_query_blocks];
    CUtensorMap key_maps[max_key_blocks];
    CUtensorMap value_maps[max_key_blocks];
    query_entry queries[max_query_blocks];
    std::int32_t key_tokens[max_key_blocks];
    /// Modulo 2^32; the query's with the causal offset. Their difference is exact where the mask's
    /// edge crosses a pair, and the host makes all other pairs dense or none.
    std::uint32_t query_position[max_query_blocks];
    std::uint32_t key_position[max_key_blocks];
    /// two bits a pair (pair_kind), sixteen pairs a word
    std::uint32_t pairs[max_query_blocks][(max_key_blocks + 15) / 16];

    std::int32_t query_blocks;
    std::int32_t key_blocks;
    std::int32_t batch;
    std::int32_t heads;
    std::int32_t heads_per_kv_head;
    std::int32_t head_dim;
    float scale;      ///< natural-log units: s = scale · q·k
    float scale_log2; ///< scale · log2(e)

    std::int32_t cluster;       ///< CTAs of a cluster, and row tiles of a unit: 1 or 2
    std::int32_t row_units;     ///< of all query blocks, for one head
    std::int32_t section_heads; ///< heads whose units are interleaved: their K and V fit in L2
    std::int32_t whole_units;   ///< the first units are worked whole, the rest in parts
    std::int32_t parts;         ///< parts of each of the other units, over the keys
    std::int32_t items;         ///< whole_units + parts · (the other units)
    // Zero at launch, and again at its end.
    std::uint32_t* next_item; ///< counter of items taken, beside the first of each cluster
    std::uint32_t* finished;  ///< clusters that found no more
    std::uint32_t* arrivals;  ///< per split tile and warp
    float4* partials;         ///< per part, thread and register quadruple
};
static_assert(sizeof(launch_parameters) <= 32764);

} // namespace cqsa::cuda::hopper
