// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/attend/hopper/schedule.cuh"
#include "codelets/cuda/ptx.cuh"

#include <cmath>

/// Online softmax on wgmma fragments. A thread holds two rows (lane/4 and 8 below) and, of each,
/// the columns 8i + 2·(lane%4) + {0, 1}; the four lanes of a quad hold the rest of the same rows.
namespace cqsa::cuda::hopper {

constexpr float infinity = INFINITY;

/// The running maximum of the unscaled scores and the sum of the weights, for a thread's two rows.
/// `sum` counts the thread's own columns only: the quad is added up at the end of the tile.
struct row_state {
    float max[2];
    float sum[2];
};

/// The exponent's offset for a row: 2^(s·scale_log2 − offset). A row that has seen no key has
/// max = −inf; any finite offset then gives weights of 2^−inf = 0.
__device__ inline float offset_of(float max, float scale_log2) {
    return max == -infinity ? 0.F : __fmul_rn(max, scale_log2);
}

template<int N>
__device__ inline void mask_scores(float (&s)[N], key_tile_mask mask, int row, int lane) {
    const int first = lane % 4 * 2;
    const int last[2] = {min(mask.keys - 1, row + mask.edge) - first,
                         min(mask.keys - 1, row + 8 + mask.edge) - first};
#pragma unroll
    for (int i = 0; i < N; ++i)
        if (i / 4 * 8 + i % 2 > last[i / 2 % 2]) s[i] = -infinity;
}

/// Turns scores into weights 2^((s − max)·scale_log2) and updates the rows' state; returns the
/// factors by which what was summed before must be multiplied.
template<int N>
__device__ inline float2 softmax_step(float (&s)[N], row_state& rows, float scale_log2) {
    float highest[2][2] = {{rows.max[0], rows.max[0]}, {rows.max[1], rows.max[1]}};
#pragma unroll
    for (int i = 0; i < N; ++i)
        highest[i / 2 % 2][i % 2] = fmaxf(highest[i / 2 % 2][i % 2], s[i]);
    float offset[2];
    float factor[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        float max = fmaxf(highest[r][0], highest[r][1]);
        max = fmaxf(max, __shfl_xor_sync(0xFFFFFFFF, max, 1));
        max = fmaxf(max, __shfl_xor_sync(0xFFFFFFFF, max, 2));
        offset[r] = offset_of(max, scale_log2);
        factor[r] = ptx::exp2(__fmul_rn(rows.max[r], scale_log2) - offset[r]);
        rows.max[r] = max;
        rows.sum[r] *= factor[r];
    }
#pragma unroll
    for (int i = 0; i < N; ++i) {
        const int r = i / 2 % 2;
        s[i] = ptx::exp2(fmaf(s[i], scale_log2, -offset[r]));
        rows.sum[r] += s[i];
    }
    return {factor[0], factor[1]};
}

} // namespace cqsa::cuda::hopper
