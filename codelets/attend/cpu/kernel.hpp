// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/cpu/isa.hpp"
#include "codelets/data_view.hpp"
#include "planner/problem.hpp"

#include <cstddef>
#include <cstdint>

namespace cqsa::cpu {

/// Some tokens of one head of a key/value block, to be packed for the products.
struct pack_job {
    const void* k = nullptr; ///< row 0 is the block's first token
    const void* v = nullptr;
    std::int64_t k_stride = 0;
    std::int64_t v_stride = 0;
    std::int64_t tokens = 0; ///< of the block
    std::int64_t head_dim = 0;
    std::int64_t first = 0;      ///< tokens [first, first + pack_tokens) are packed
    std::byte* packed = nullptr; ///< the block's packed memory
};

/// A key/value block as one query tile sees it.
struct visible_block {
    const std::byte* packed = nullptr;
    std::int64_t tokens = 0;
    std::int64_t diagonal = 0; ///< query row r of the tile sees the keys t < diagonal + r
};

/// Some query rows of one head, and their state.
struct tile_job {
    const void* q = nullptr;
    std::int64_t q_stride = 0;
    std::int64_t rows = 0;
    std::int64_t head_dim = 0;
    double scale = 1;
    void* acc = nullptr; ///< [rows][head_dim]
    void* m = nullptr;
    void* l = nullptr;
    std::byte* scratch = nullptr;
};

/// What one instruction set offers for one element type. The kernels run on the calling thread,
/// allocate nothing and throw nothing. For each tile: begin, then update for each block in order,
/// then end; a row's result depends on that row and the blocks only, not on how rows make tiles.
struct attend_kernel {
    std::int64_t pack_tokens = 0; ///< granularity of pack
    std::size_t (*packed_bytes)(std::int64_t tokens, std::int64_t head_dim) = nullptr;
    std::size_t (*scratch_bytes)(std::int64_t rows, std::int64_t head_dim) = nullptr;
    void (*pack)(const pack_job&) = nullptr;
    void (*begin)(const tile_job&, bool fresh) = nullptr;
    void (*update)(const tile_job&, const visible_block&) = nullptr;
    void (*end)(const tile_job&) = nullptr;
};

/// The kernel of an instruction set for a type; an instruction set that has none of its own for the
/// type gives the next lower one's.
const attend_kernel& portable_attend(data_type type);
const attend_kernel& avx2_attend(data_type type);
const attend_kernel& avx512_attend(data_type type);
const attend_kernel& avx512bf16_attend(data_type type);
const attend_kernel& amx_attend(data_type type);

} // namespace cqsa::cpu
