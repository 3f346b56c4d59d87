// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/data_view.hpp"
#include "codelets/host_pieces.hpp"

#include <starpu.h>

#include <array>
#include <atomic>
#include <cstdint>

namespace cqsa {

class StagedCopies;

/// Transfers between host and device memory for one run.
struct traffic {
    std::atomic<std::int64_t> h2d_bytes{0};
    std::atomic<std::int64_t> d2h_bytes{0};
    /// Where copies of the caller's arrays are cut; null: nowhere.
    const HostPieces* pieces = nullptr;
    /// What copies arrays of the caller's that are neither page-locked nor in pieces; null: StarPU.
    StagedCopies* staged = nullptr;
};

/// Memory that StarPU holds for blocks, process-wide as StarPU is: in main memory for temporaries
/// and copies (not the caller's arrays), and on the fullest GPU for everything.
struct memory_use {
    std::int64_t host_bytes = 0;
    std::int64_t device_bytes = 0;
};
/// The most since the last call of reset_peak_memory_use. Host memory held before is not counted.
memory_use peak_memory_use();
void reset_peak_memory_use();
/// Counts what StarPU has accounted for on a GPU's node now, slabs and cache included.
void count_device_memory(unsigned node);

/// One array [batch, heads, tokens, row] of a block, with strides in bytes. Rows are contiguous.
struct block_part {
    void* data = nullptr;
    std::int64_t row_bytes = 0;
    std::array<std::int64_t, 3> extents{}; ///< batch, heads, tokens
    std::array<std::int64_t, 3> strides{}; ///< bytes

    [[nodiscard]] std::int64_t bytes() const {
        return row_bytes * extents[0] * extents[1] * extents[2];
    }
};

/// StarPU data interface of a block: one or two arrays that always travel together (K with V, O
/// with lse), anywhere in the caller's memory. A copy made by StarPU is one packed buffer in which
/// each array keeps the axis order of the caller's memory, so transfers are long runs in both
/// layouts (bhnd and bnhd). StarPU's own matrix interface holds one array, counts in 32 bits and
/// knows one stride; its block and tensor interfaces cannot exchange buffers between unequal
/// blocks.
///
/// Buffers of equal `alloc_bytes` are exchanged by StarPU's allocation cache, so the last, short
/// block of a sequence asks for as much as the full ones.
struct block_data {
    starpu_data_interface_id id; ///< StarPU wants it first
    std::uintptr_t buffer;       ///< what StarPU allocated on this node; 0: the caller's memory
    std::int64_t alloc_bytes;
    int parts;
    block_part part[2];
    std::uint8_t order[2][3]; ///< axes of each part from the outermost in memory to the innermost
    traffic* counters;        ///< may be null; outlives the handle
    bool cleared;             ///< what is allocated for it on a GPU holds zeros at first
};

/// Registers arrays in the caller's memory (home node: main memory). alloc_bytes: of a copy's
/// buffer, in which each array starts at a multiple of 256 bytes; see block_data.
starpu_data_handle_t register_block(const block_part* parts, int count, std::int64_t alloc_bytes,
                                    traffic* counters);

/// Registers a temporary of `bytes` bytes that StarPU allocates where it is first written.
starpu_data_handle_t register_temporary(std::int64_t bytes, std::int64_t alloc_bytes,
                                        traffic* counters);

/// Registers memory for kernels, for use as STARPU_SCRATCH, which on a GPU holds zeros at first.
starpu_data_handle_t register_workspace(std::int64_t bytes);

/// Makes StarPU let go of buffers that it keeps on the node for handles to come, until they add up
/// to so many bytes (or there are no more).
void drain_allocation_cache(unsigned node, std::int64_t bytes);

/// The part of a block inside a codelet, as kernels take it. `element_bytes` divides the strides.
tensor_view view_of(const block_data& block, int part, std::int64_t element_bytes);
mutable_tensor_view mutable_view_of(const block_data& block, int part, std::int64_t element_bytes);

} // namespace cqsa
