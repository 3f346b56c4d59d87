// SPDX-License-Identifier: Apache-2.0
#include "codelets/cuda/check.hpp"
#include "codelets/cuda/rows.cuh"
#include "codelets/finalize/finalize.hpp"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <algorithm>

namespace cqsa::cuda {
namespace {

template<class State, class Out>
struct finalize_parameters {
    const State* acc;
    const State* m;
    const State* l;
    Out* out;
    State* lse;
    std::int64_t tokens, columns, heads, batch_heads;
    std::int64_t out_batch, out_head, out_token; ///< strides, elements
    std::int64_t lse_batch, lse_head, lse_token;
    int lanes;
    bool fresh;
};

/// One grid row per (batch, head); a group of lanes takes `rows_at_once` tokens, whose loads are
/// all on their way before the first is used.
constexpr int rows_at_once = 4;

template<class Out>
struct alignas(4 * sizeof(Out)) out_quad {
    Out x[4];
};

template<class State, class Out>
__global__ void __launch_bounds__(row_threads)
    finalize_kernel(const __grid_constant__ finalize_parameters<State, Out> p) {
    const int groups = row_threads / p.lanes;
    const int lane = static_cast<int>(threadIdx.x) % p.lanes;
    const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * groups * rows_at_once +
                               static_cast<int>(threadIdx.x) / p.lanes;
    const bool wide = p.columns % 4 == 0;
    const int step = wide ? 4 : 1;
    for (std::int64_t bh = blockIdx.y; bh < p.batch_heads; bh += gridDim.y) {
        const std::int64_t b = bh / p.heads;
        const std::int64_t h = bh % p.heads;
        for (std::int64_t c = step * lane; c < p.columns; c += step * p.lanes) {
            quad<State> x[rows_at_once] = {};
            State l[rows_at_once] = {};
            State m[rows_at_once] = {};
#pragma unroll
            for (int i = 0; i < rows_at_once; ++i) {
                const std::int64_t token = first + i * groups;
                if (token >= p.tokens || p.fresh) continue;
                const std::int64_t row = bh * p.tokens + token;
                l[i] = p.l[row];
                m[i] = p.m[row];
                if (wide) {
                    x[i] = *reinterpret_cast<const quad<State>*>(p.acc + row * p.columns + c);
                } else {
                    x[i].x[0] = p.acc[row * p.columns + c];
                }
            }
#pragma unroll
            for (int i = 0; i < rows_at_once; ++i) {
                const std::int64_t token = first + i * groups;
                if (token >= p.tokens) continue;
                const State scale = l[i] == State{0} ? State{0} : State{1} / l[i];
                if (c == 0 && p.lse != nullptr)
                    p.lse[b * p.lse_batch + h * p.lse_head + token * p.lse_token] =
                        l[i] == State{0} ? -INFINITY : m[i] + log(l[i]);
                Out* out = p.out + b * p.out_batch + h * p.out_head + token * p.out_token + c;
                out_quad<Out> y;
#pragma unroll
                for (int e = 0; e < 4; ++e)
                    y.x[e] = static_cast<Out>(x[i].x[e] * scale);
                if (wide && reinterpret_cast<std::uintptr_t>(out) % sizeof(y) == 0) {
                    *reinterpret_cast<out_quad<Out>*>(out) = y;
                } else {
                    for (int e = 0; e < step; ++e)
                        out[e] = y.x[e];
                }
            }
        }
    }
}

template<class State, class Out>
void launch(const finalize_task& task, cudaStream_t stream) {
    const finalize_parameters<State, Out> p{.acc = static_cast<const State*>(task.state.acc),
                                            .m = static_cast<const State*>(task.state.m),
                                            .l = static_cast<const State*>(task.state.l),
                                            .out = static_cast<Out*>(task.out.data),
                                            .lse = static_cast<State*>(task.lse.data),
                                            .tokens = task.tokens,
                                            .columns = task.head_dim,
                                            .heads = task.heads,
                                            .batch_heads = task.batch * task.heads,
                                            .out_batch = task.out.batch_stride,
                                            .out_head = task.out.head_stride,
                                            .out_token = task.out.token_stride,
                                            .lse_batch = task.lse.batch_stride,
                                            .lse_head = task.lse.head_stride,
                                            .lse_token = task.lse.token_stride,
                                            .lanes = lanes_per_row(task.head_dim),
                                            .fresh = task.fresh};
    const std::int64_t rows = row_threads / p.lanes * rows_at_once;
    const std::int64_t blocks = (task.tokens + rows - 1) / rows;
    if (blocks == 0 || p.batch_heads == 0) return;
    const dim3 grid(static_cast<unsigned>(blocks),
                    static_cast<unsigned>(std::min<std::int64_t>(p.batch_heads, 65535)));
    finalize_kernel<State, Out><<<grid, row_threads, 0, stream>>>(p);
    check(cudaGetLastError(), "launching finalize");
}

template<class State>
void launch(const finalize_task& task, cudaStream_t stream) {
    switch (task.out_type) {
    case data_type::f16:
        return launch<State, __half>(task, stream);
    case data_type::bf16:
        return launch<State, __nv_bfloat16>(task, stream);
    case data_type::f32:
        return launch<State, float>(task, stream);
    case data_type::f64:
        return launch<State, double>(task, stream);
    }
}

} // namespace

void finalize(const finalize_task& task, void* stream) {
    if (state_type(task.type) == data_type::f64) {
        launch<double>(task, static_cast<cudaStream_t>(stream));
    } else {
        launch<float>(task, static_cast<cudaStream_t>(stream));
    }
}

} // namespace cqsa::cuda
