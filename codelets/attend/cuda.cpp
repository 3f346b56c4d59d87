// SPDX-License-Identifier: Apache-2.0
#include "codelets/attend/attend.hpp"
#include "codelets/attend/hopper/hopper.hpp"
#include "codelets/attend/mma/mma.hpp"
#include "codelets/cuda/check.hpp"

#include <cuda_runtime_api.h>

#include <cstdint>
#include <numeric>
#include <string>

namespace cqsa::cuda {
namespace {

int attribute(cudaDeviceAttr which, int device) {
    int value = 0;
    check(cudaDeviceGetAttribute(&value, which, device), "asking for an attribute of the device");
    return value;
}

/// The copy engine takes strides and addresses in units of 16 bytes.
bool misaligned(const attend_task& task, const tensor_view& x, std::int64_t heads,
                std::int64_t tokens) {
    const auto legal = [](std::int64_t extent, std::int64_t stride) {
        return extent == 1 || (stride > 0 && stride % 8 == 0);
    };
    return !legal(task.batch, x.batch_stride) || !legal(heads, x.head_stride) ||
           !legal(tokens, x.token_stride) || reinterpret_cast<std::uintptr_t>(x.data) % 16 != 0;
}

/// Whether the Hopper kernel takes the task.
bool fits_hopper(const attend_task& task, const gpu_kind& gpu) {
    if (task.type != data_type::f16 && task.type != data_type::bf16) return false;
    if (gpu.major != 9) return false;
    if (hopper::kernel_for(task.head_dim) == nullptr) return false;
    if (!(task.scale > 1e-30)) return false;
    for (const query_block& b : task.queries)
        if (misaligned(task, b.q, task.heads, b.tokens)) return false;
    for (const key_block& b : task.keys)
        if (misaligned(task, b.k, task.kv_heads, b.tokens) ||
            misaligned(task, b.v, task.kv_heads, b.tokens))
            return false;
    return true;
}

} // namespace

gpu_kind kind_of(int device) {
    return {.major = attribute(cudaDevAttrComputeCapabilityMajor, device),
            .multiprocessors = attribute(cudaDevAttrMultiProcessorCount, device)};
}

std::string attend_unsupported(const attend_task& task, int device) {
    if (task.type == data_type::f64) return "attend on the GPU has no kernel for f64.";
    const int major = attribute(cudaDevAttrComputeCapabilityMajor, device);
    if (major < 8)
        return "attend on the GPU needs compute capability 8.0 or later, and device " +
               std::to_string(device) + " has " + std::to_string(major) + ".x.";
    if (task.head_dim < 1 || task.head_dim > mma::max_head_dim)
        return "attend on the GPU needs a head_dim from 1 to " + std::to_string(mma::max_head_dim) +
               ", and this one is " + std::to_string(task.head_dim) + ".";
    return {};
}

std::size_t attend_workspace_bytes(const attend_task& task, int device) {
    const gpu_kind gpu = kind_of(device);
    if (!fits_hopper(task, gpu)) return 0;
    return hopper::workspace_bytes(task, *hopper::kernel_for(task.head_dim), gpu.multiprocessors);
}

std::size_t attend_workspace_limit(const attend_task& task, const gpu_kind& gpu) {
    if (!fits_hopper(task, gpu)) return 0;
    return hopper::workspace_limit(*hopper::kernel_for(task.head_dim), gpu.multiprocessors);
}

std::int64_t attend_block_multiple(const attend_task& task, const gpu_kind& gpu) {
    if (!fits_hopper(task, gpu)) return 128;
    const hopper::kernel& k = *hopper::kernel_for(task.head_dim);
    return std::lcm(k.tile_rows, k.tile_keys);
}

attend_tile attend_tile_of(const attend_task& task, const gpu_kind& gpu) {
    if (!fits_hopper(task, gpu)) return {.rows = 128};
    const hopper::kernel& k = *hopper::kernel_for(task.head_dim);
    const std::int64_t together = gpu.multiprocessors % k.most_cluster == 0 ? k.most_cluster : 1;
    return {.rows = together * k.tile_rows, .multiprocessors = together};
}

void attend(const attend_task& task, std::span<std::byte> workspace, void* stream) {
    int device = 0;
    check(cudaGetDevice(&device), "asking for the current device");
    if (const std::string why = attend_unsupported(task, device); !why.empty())
        throw Error(error_code::device, why);
    const gpu_kind gpu = kind_of(device);
    if (fits_hopper(task, gpu)) {
        hopper::attend(task, *hopper::kernel_for(task.head_dim), gpu.multiprocessors, workspace,
                       static_cast<cudaStream_t>(stream));
    } else {
        mma::attend(task, static_cast<cudaStream_t>(stream));
    }
}

} // namespace cqsa::cuda
