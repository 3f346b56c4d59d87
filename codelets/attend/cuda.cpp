// SPDX-License-Identifier: Apache-2.0
#include "codelets/attend/attend.hpp"
#include "codelets/attend/hopper/hopper.hpp"
#include "codelets/cuda/check.hpp"

#include <cuda_runtime_api.h>

#include <string>

namespace cqsa::cuda {
namespace {

int attribute(cudaDeviceAttr which, int device) {
    int value = 0;
    check(cudaDeviceGetAttribute(&value, which, device), "asking for an attribute of the device");
    return value;
}

/// The copy engine takes strides and addresses in units of 16 bytes.
std::string misaligned(const attend_task& task, const tensor_view& x, std::int64_t heads,
                       std::int64_t tokens, const char* name) {
    const auto legal = [](std::int64_t extent, std::int64_t stride) {
        return extent == 1 || (stride > 0 && stride % 8 == 0);
    };
    if (legal(task.batch, x.batch_stride) && legal(heads, x.head_stride) &&
        legal(tokens, x.token_stride))
        return {};
    return std::string("attend on the GPU needs strides of ") + name +
           " that are multiples of 16 bytes, and those given are " +
           std::to_string(x.batch_stride) + ", " + std::to_string(x.head_stride) + " and " +
           std::to_string(x.token_stride) + " elements.";
}

} // namespace

std::string attend_unsupported(const attend_task& task, int device) {
    const std::string type(name_of(task.type));
    if (task.type != data_type::f16 && task.type != data_type::bf16)
        return "attend on the GPU has no kernel for " + type + ", only for f16 and bf16.";
    const int major = attribute(cudaDevAttrComputeCapabilityMajor, device);
    if (major != 9)
        return "attend on the GPU needs compute capability 9.x (Hopper), and device " +
               std::to_string(device) + " has " + std::to_string(major) + ".x.";
    if (hopper::kernel_for(task.head_dim) == nullptr)
        return "attend on the GPU has no kernel for head_dim " + std::to_string(task.head_dim) +
               ", only for multiples of 8 up to 256.";
    if (!(task.scale > 0))
        return "attend on the GPU needs a positive scale, and this one is " +
               std::to_string(task.scale) + ".";
    for (const query_block& b : task.queries)
        if (auto why = misaligned(task, b.q, task.heads, b.tokens, "q"); !why.empty()) return why;
    for (const key_block& b : task.keys) {
        if (auto why = misaligned(task, b.k, task.kv_heads, b.tokens, "k"); !why.empty())
            return why;
        if (auto why = misaligned(task, b.v, task.kv_heads, b.tokens, "v"); !why.empty())
            return why;
    }
    return {};
}

std::size_t attend_workspace_bytes(const attend_task& task, int device) {
    const hopper::kernel* k = hopper::kernel_for(task.head_dim);
    return k == nullptr ? 0
                        : hopper::workspace_bytes(
                              task, *k, attribute(cudaDevAttrMultiProcessorCount, device));
}

void attend(const attend_task& task, std::span<std::byte> workspace, void* stream) {
    int device = 0;
    check(cudaGetDevice(&device), "asking for the current device");
    if (const std::string why = attend_unsupported(task, device); !why.empty())
        throw Error(error_code::device, why);
    hopper::attend(task, *hopper::kernel_for(task.head_dim),
                   attribute(cudaDevAttrMultiProcessorCount, device), workspace,
                   static_cast<cudaStream_t>(stream));
}

} // namespace cqsa::cuda
