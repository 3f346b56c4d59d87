// SPDX-License-Identifier: Apache-2.0
#include "codelets/attend/mma/kernel.cuh"
#include "codelets/attend/mma/mma.hpp"
#include "codelets/cuda/check.hpp"

#include <algorithm>
#include <cmath>

namespace cqsa::cuda::mma {
namespace {

template<class Element, int HeadDim>
void launch(const launch_parameters& p, std::int64_t batch, cudaStream_t stream) {
    constexpr int bytes = sizeof(shared_memory<Element, HeadDim>);
    const auto kernel = attend_kernel<Element, HeadDim>;
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes),
          "reserving shared memory for attend");
    const dim3 grid(static_cast<unsigned>(batch * p.heads), static_cast<unsigned>(p.row_tiles));
    kernel<<<grid, threads, bytes, stream>>>(p);
    check(cudaGetLastError(), "launching attend");
}

template<class Element>
void launch(const launch_parameters& p, std::int64_t batch, cudaStream_t stream) {
    if (p.head_dim <= 64) return launch<Element, 64>(p, batch, stream);
    if (p.head_dim <= 128) return launch<Element, 128>(p, batch, stream);
    launch<Element, 256>(p, batch, stream);
}

bool rows_of_sixteen_bytes(const attend_task& task, const tensor_view& x) {
    const std::int64_t per_chunk = 16 / bytes_of(task.type);
    return task.head_dim % per_chunk == 0 && reinterpret_cast<std::uintptr_t>(x.data) % 16 == 0 &&
           x.token_stride % per_chunk == 0 && x.head_stride % per_chunk == 0 &&
           x.batch_stride % per_chunk == 0;
}

} // namespace

void attend(const attend_task& task, cudaStream_t stream) {
    const std::int64_t keys = std::ssize(task.keys);
    const std::int64_t queries = std::ssize(task.queries);
    launch_parameters p{};
    p.heads = static_cast<std::int32_t>(task.heads);
    p.heads_per_kv_head = static_cast<std::int32_t>(task.heads / task.kv_heads);
    p.head_dim = static_cast<std::int32_t>(task.head_dim);
    p.sign = task.scale < 0 ? -1.F : 1.F;
    // So small a scale counts as 0 and still keeps −inf · scale = −inf.
    const double scale = std::max(std::abs(task.scale), 1e-30);
    p.scale = static_cast<float>(scale);
    p.scale_log2 = static_cast<float>(scale * 1.4426950408889634);
    p.sixteen_bytes = true;
    for (const query_block& b : task.queries)
        p.sixteen_bytes = p.sixteen_bytes && rows_of_sixteen_bytes(task, b.q);
    for (const key_block& b : task.keys)
        p.sixteen_bytes =
            p.sixteen_bytes && rows_of_sixteen_bytes(task, b.k) && rows_of_sixteen_bytes(task, b.v);
    // Lists longer than a launch holds are cut; later pieces of the keys continue the state.
    for (std::int64_t q0 = 0; q0 < queries; q0 += max_query_blocks) {
        for (std::int64_t k0 = 0; k0 == 0 || k0 < keys; k0 += max_key_blocks) {
            p.query_blocks =
                static_cast<std::int32_t>(std::min<std::int64_t>(max_query_blocks, queries - q0));
            p.key_blocks =
                static_cast<std::int32_t>(std::min<std::int64_t>(max_key_blocks, keys - k0));
            p.row_tiles = 0;
            for (int i = 0; i < p.query_blocks; ++i) {
                const query_block& b = task.queries[q0 + i];
                p.queries[i] = {.q = b.q,
                                .acc = static_cast<float*>(b.state.acc),
                                .m = static_cast<float*>(b.state.m),
                                .l = static_cast<float*>(b.state.l),
                                .position = b.position + task.causal_offset,
                                .tokens = static_cast<std::int32_t>(b.tokens),
                                .first_tile = p.row_tiles,
                                .fresh = b.fresh && k0 == 0};
                p.row_tiles += static_cast<std::int32_t>((b.tokens + tile_rows - 1) / tile_rows);
                std::copy_n(&task.pairs[(q0 + i) * keys + k0], p.key_blocks, p.pairs[i]);
            }
            for (int j = 0; j < p.key_blocks; ++j) {
                const key_block& b = task.keys[k0 + j];
                p.keys[j] = {.k = b.k,
                             .v = b.v,
                             .position = b.position,
                             .tokens = static_cast<std::int32_t>(b.tokens)};
            }
            switch (task.type) {
            case data_type::f16:
                launch<__half>(p, task.batch, stream);
                break;
            case data_type::bf16:
                launch<__nv_bfloat16>(p, task.batch, stream);
                break;
            default:
                launch<float>(p, task.batch, stream);
            }
        }
    }
}

} // namespace cqsa::cuda::mma
