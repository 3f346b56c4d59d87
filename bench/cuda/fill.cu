// SPDX-License-Identifier: Apache-2.0
#include "bench/cuda/device.hpp"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace cqsa::bench {
namespace {

/// Normal numbers (Box and Muller) from the bits of SplitMix64 of the index.
template<class T>
__global__ void fill_kernel(T* data, std::int64_t count, std::uint64_t seed) {
    const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
    for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
         i < count; i += step) {
        std::uint64_t z = (static_cast<std::uint64_t>(i) + (seed << 40)) * 0x9e3779b97f4a7c15U;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
        z ^= z >> 31;
        const float u = (static_cast<float>(z >> 40) + 1) * 0x1p-24F;
        const float v = static_cast<float>(z & 0xffffff) * 0x1p-24F;
        data[i] = static_cast<T>(sqrtf(-2 * logf(u)) * cospif(2 * v));
    }
}

} // namespace

void fill_normal(data_type type, void* data, std::int64_t count, std::uint64_t seed) {
    constexpr int blocks = 1024;
    constexpr int threads = 256;
    if (type == data_type::f16) {
        fill_kernel<<<blocks, threads>>>(static_cast<__half*>(data), count, seed);
    } else if (type == data_type::bf16) {
        fill_kernel<<<blocks, threads>>>(static_cast<__nv_bfloat16*>(data), count, seed);
    } else {
        fill_kernel<<<blocks, threads>>>(static_cast<float*>(data), count, seed);
    }
    cuda::check(cudaGetLastError(), "filling a tensor");
}

} // namespace cqsa::bench
