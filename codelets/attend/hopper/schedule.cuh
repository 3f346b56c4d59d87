// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/attend/hopper/parameters.hpp"

/// Which tile a CTA works next and which keys that tile meets. Used by the producer alone: the
/// consumers see one flat sequence of key tiles. The CTAs of a cluster work neighbouring row tiles
/// of one query block, a unit, and walk the same key tiles: all that any row of the unit sees.
namespace cqsa::cuda::hopper {

/// A tile of query rows of one head, or a part of it over the keys.
struct row_tile {
    int query_block; ///< −1: there is no more work
    int row;         ///< first row, in the block; beyond it where the unit has a tile too many
    int last_row;    ///< of the unit
    int head;        ///< batch · heads + head
    int first;       ///< first key tile of this part
    int key_tiles;   ///< number of key tiles of this part
    int split;       ///< running number of the split tile; −1 where the tile is worked whole
    int part;
    int parts;
};

/// Which columns of a key tile a row of the row tile sees: column c and row r (both counted from
/// the tile's first) when c < keys and c <= r + edge. Rows from `clear` on see the whole tile.
struct key_tile_mask {
    int keys;
    int edge;
    int clear;
    int reserved;
};

constexpr int no_edge = 1 << 29;

/// The order of units: sections of heads whose keys and values fit in L2 together; in a section the
/// rows with most keys first (the host sorts the blocks, rows of a block go backwards), so that the
/// units left for the end are short; all heads of the section before the next rows. `rank` is the
/// CTA's place in its cluster.
template<int TileRows>
__device__ inline void decode_item(const launch_parameters& p, int item, int rank, row_tile& t) {
    if (item >= p.items) {
        t.query_block = -1;
        return;
    }
    const int all_heads = p.batch * p.heads;
    t.split = -1;
    t.part = 0;
    t.parts = 1;
    int unit = item;
    if (item >= p.whole_units) {
        const int split_units = p.row_units * all_heads - p.whole_units;
        const int split = (item - p.whole_units) % split_units;
        t.split = split * p.cluster + rank;
        t.part = (item - p.whole_units) / split_units;
        t.parts = p.parts;
        unit = p.whole_units + split;
    }
    const int section = unit / (p.row_units * p.section_heads);
    const int first_head = section * p.section_heads;
    const int section_heads = min(p.section_heads, all_heads - first_head);
    unit -= p.row_units * first_head;
    t.head = first_head + unit % section_heads;
    const int row_unit = unit / section_heads;
    int block = 0;
#pragma unroll 1
    while (block + 1 < p.query_blocks && p.queries[block + 1].first_unit <= row_unit)
        ++block;
    t.query_block = block;
    const int unit_rows = TileRows * p.cluster;
    const int tokens = p.queries[block].tokens;
    const int block_units = (tokens + unit_rows - 1) / unit_rows;
    const int first_row = (block_units - 1 - (row_unit - p.queries[block].first_unit)) * unit_rows;
    t.row = first_row + rank * TileRows;
    t.last_row = min(first_row + unit_rows, tokens) - 1;
}

/// The key tiles that a row tile's unit meets, in the order of the launch's key blocks.
template<int TileKeys>
class KeyWalk {
  public:
    __device__ KeyWalk(const launch_parameters& p, const row_tile& tile)
        : p_(p), query_block_(tile.query_block), row_(tile.row), last_row_(tile.last_row) {}

    /// Number of key tiles in all.
    __device__ int count() const {
        int tiles = 0;
#pragma unroll 1
        for (int j = 0; j < p_.key_blocks; ++j)
            tiles += tiles_in(j);
        return tiles;
    }

    /// Goes to the key tile of this index.
    __device__ void start(int index) {
        block_ = 0;
        int tiles = tiles_in(0);
#pragma unroll 1
        while (index >= tiles) {
            index -= tiles;
            tiles = tiles_in(++block_);
        }
        token_ = index * TileKeys;
        end_ = tiles * TileKeys;
    }

    __device__ void next() {
        token_ += TileKeys;
#pragma unroll 1
        while (token_ >= end_ && block_ + 1 < p_.key_blocks) {
            token_ = 0;
            end_ = tiles_in(++block_) * TileKeys;
        }
    }

    [[nodiscard]] __device__ int block() const {
        return block_;
    }
    [[nodiscard]] __device__ int token() const {
        return token_;
    }
    [[nodiscard]] __device__ key_tile_mask mask() const {
        const int keys = p_.key_tokens[block_] - token_;
        const int edge = pair(block_) == causal ? row_ + edge_of(block_) - token_ : no_edge;
        return {keys, edge, keys < TileKeys ? no_edge : TileKeys - 1 - edge, 0};
    }

  private:
    static constexpr unsigned causal = 2;

    [[nodiscard]] __device__ unsigned pair(int j) const {
        return p_.pairs[query_block_][j / 16] >> (j % 16 * 2) & 3;
    }
    [[nodiscard]] __device__ int edge_of(int j) const {
        return static_cast<int>(p_.query_position[query_block_] - p_.key_position[j]);
    }
    [[nodiscard]] __device__ int tiles_in(int j) const {
        const unsigned kind = pair(j);
        if (kind == 0) return 0;
        int keys = p_.key_tokens[j];
        if (kind == causal) keys = max(0, min(keys, last_row_ + edge_of(j) + 1));
        return (keys + TileKeys - 1) / TileKeys;
    }

    const launch_parameters& p_;
    int query_block_;
    int row_;
    int last_row_;
    int block_ = 0;
    int token_ = 0;
    int end_ = 0;
};

} // namespace cqsa::cuda::hopper
