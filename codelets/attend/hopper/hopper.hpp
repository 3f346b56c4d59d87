// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/attend/attend.hpp"

#include <cuda_runtime_api.h>

#include <cstddef>
#include <span>

/// The host's side of the Hopper kernel: which tile shape serves a head_dim, how a task is cut into
/// launches, and the launches themselves.
namespace cqsa::cuda::hopper {

/// A compiled tile shape, for both 16-bit types.
struct kernel {
    int head_dim = 0; ///< the largest it serves
    int tile_rows = 0;
    int tile_keys = 0;
    int threads = 0;
    int shared_bytes = 0;
    int partial_bytes = 0; ///< workspace of one part of a split tile
    bool overlaps = false; ///< works while the launch before it ends
    int most_cluster = 1;  ///< CTAs that can share their keys
    const void* f16 = nullptr;
    const void* bf16 = nullptr;
};

/// The kernel that serves this head_dim; nullptr where there is none.
const kernel* kernel_for(std::int64_t head_dim);

/// The most that any task makes use of.
std::size_t workspace_limit(const kernel& k, int multiprocessors);
std::size_t workspace_bytes(const attend_task& task, const kernel& k, int multiprocessors);
void attend(const attend_task& task, const kernel& k, int multiprocessors,
            std::span<std::byte> workspace, cudaStream_t stream);

} // namespace cqsa::cuda::hopper
