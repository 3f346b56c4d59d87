// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/data_view.hpp"
#include "codelets/state.hpp"
#include "planner/plan.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace cqsa {

/// A query block of a strip: `tokens` queries that start at token `position` of the sequence.
struct query_block {
    tensor_view q;
    state_view state;
    std::int64_t tokens = 0;
    std::int64_t position = 0;
    bool fresh = false; ///< the state's memory holds nothing yet: start from the empty state
    /// Keys that each row sees in all attends of its state together, at least; 0: not known.
    /// Kernels may round weights a little less carefully in one attend of several.
    std::int64_t row_keys = 0;
};

/// A key/value block of a segment.
struct key_block {
    tensor_view k;
    tensor_view v;
    std::int64_t tokens = 0;
    std::int64_t position = 0;
};

/// attend: the subsequence attention task of CQS Divide, cut to a strip and a segment.
///
/// For each query block i and the key blocks j with pairs[i][j] != none, and for each query row r:
///   s_j = scale · q_r · k_j   over the visible keys j of those blocks
///   m' = max(m, max s_j),  acc' = acc·e^{m−m'} + Σ e^{s_j−m'} v_j,  l' = l·e^{m−m'} + Σ e^{s_j−m'}
/// which is the online-softmax recurrence; the key blocks are visited in the order given, so a
/// result is bitwise reproducible. dense: every key is visible. causal: key t is visible to query r
/// when t <= r + causal_offset (positions in the sequence).
///
/// A row that sees no key keeps its state. A NaN in a query stays in its row; a NaN in a key or
/// value reaches the rows that see it and at most those of the same diagonal tile. m and l count
/// whole keys: a row with l = 0 has m = −inf and acc = 0.
struct attend_task {
    data_type type = data_type::f32;
    std::int64_t batch = 1;
    std::int64_t heads = 1;
    std::int64_t kv_heads = 1;
    std::int64_t head_dim = 0;
    double scale = 1;
    std::int64_t causal_offset = 0;
    std::span<const query_block> queries;
    std::span<const key_block> keys;
    std::span<const pair_kind> pairs; ///< [queries][keys], row-major
    /// Another attend follows at once on the same stream: multiprocessors that run out of this
    /// one's work take up the other's, so that this one is not cut finer to keep all of them busy.
    bool followed = false;
};

namespace reference {
/// In float64 throughout (only the state is stored in its own type): the oracle of the tests.
void attend(const attend_task& task);
} // namespace reference

namespace openmp {
/// Bytes of workspace that attend needs for a team of `threads`, and their alignment is 64.
std::size_t attend_workspace_bytes(const attend_task& task, int threads);
/// On the calling thread's OpenMP team of `threads`. Any head_dim from 1 to 256.
void attend(const attend_task& task, std::span<std::byte> workspace, int threads);
} // namespace openmp

namespace cuda {
/// What decides on the kernel for a task: compute capability and size of a GPU, here or elsewhere.
struct gpu_kind {
    int major = 0;
    int multiprocessors = 0;
};
gpu_kind kind_of(int device);
/// Empty where attend has a kernel for this task on this device, otherwise one sentence that says
/// what is missing. Looks at type, head_dim and strides only.
std::string attend_unsupported(const attend_task& task, int device);
/// Bytes of device memory, aligned to 256, with which attend does this task fastest. With less it
/// shares the last tiles out over fewer multiprocessors; attend_workspace_minimum is always enough.
/// A workspace holds zeros before its first attend; each leaves it fit for the next one on the same
/// stream.
std::size_t attend_workspace_bytes(const attend_task& task, int device);
/// The most that attend_workspace_bytes answers for any task of this type, head_dim and strides.
std::size_t attend_workspace_limit(const attend_task& task, const gpu_kind& gpu);
inline constexpr std::size_t attend_workspace_minimum = 256;
/// Blocks of a multiple of so many tokens waste no part of a tile.
std::int64_t attend_block_multiple(const attend_task& task, const gpu_kind& gpu);
/// Query rows of one head that so many multiprocessors work together at a time. Blocks of a
/// multiple of so many rows keep all of them busy.
struct attend_tile {
    std::int64_t rows = 0;
    std::int64_t multiprocessors = 1;
};
attend_tile attend_tile_of(const attend_task& task, const gpu_kind& gpu);
/// Enqueues the task on `stream` (a cudaStream_t) of the current device; all memory is device
/// memory. Queries, keys and values are read while an attend before it still runs, so they must be
/// there when no kernel before it on the stream writes them; the state is touched in the stream's
/// order. Throws Error(device) when a launch fails; allocates nothing and synchronises nothing.
void attend(const attend_task& task, std::span<std::byte> workspace, void* stream);
} // namespace cuda

} // namespace cqsa
