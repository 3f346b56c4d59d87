// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/cuda/ptx.cuh"

#include <cmath>
#include <cstdint>

/// Online softmax on accumulator fragments, which wgmma and mma.sync lay out alike: a thread holds
/// two rows (lane/4 and 8 below) and, of each, the columns 8i + 2·(lane%4) + {0, 1}; the four lanes
/// of a quad hold the rest of the same rows. And the way of a fragment from and to a state in
/// memory.
namespace cqsa::cuda {

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

/// Hides the columns that a row does not see: column c of row r is seen when c <= last and
/// c <= r + edge. `edge` is given for the thread's upper row.
template<int N>
__device__ inline void mask_scores(float (&s)[N], int last, int edge, int lane) {
    const int first = lane % 4 * 2;
    const int seen[2] = {min(last, edge) - first, min(last, edge + 8) - first};
#pragma unroll
    for (int i = 0; i < N; ++i)
        if (i / 4 * 8 + i % 2 > seen[i / 2 % 2]) s[i] = -infinity;
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
    }
    float sum[2] = {0.F, 0.F};
#pragma unroll
    for (int i = 0; i < N; ++i) {
        const int r = i / 2 % 2;
        s[i] = ptx::exp2(fmaf(s[i], scale_log2, -offset[r]));
        sum[r] += s[i];
    }
    rows.sum[0] = fmaf(rows.sum[0], factor[0], sum[0]);
    rows.sum[1] = fmaf(rows.sum[1], factor[1], sum[1]);
    return {factor[0], factor[1]};
}

// ---------------------------------------------------------------- state in memory

/// Where a thread's fragment belongs in the state of a query block.
struct fragment_place {
    float* acc;
    float* m;
    float* l;
    std::int64_t first; ///< rows of the state before this head's
    int tokens;         ///< rows of this head
    int row;            ///< the thread's upper row
    int head_dim;
    int lane;
    float scale;
    float scale_log2;
};

/// e^m in the state's units against 2^offset in the kernel's: the exponent (base 2) of the factor
/// between sums that refer to them. In double, since both may be large.
__device__ inline float unit_exponent(float m, float offset) {
    constexpr double log2_e = 1.4426950408889634;
    return m == -infinity ? 0.F : static_cast<float>(m * log2_e - offset);
}

template<int N>
__device__ inline void clear_state(float (&o)[N], row_state& rows) {
#pragma unroll
    for (int i = 0; i < N; ++i)
        o[i] = 0.F;
    rows = {{-infinity, -infinity}, {0.F, 0.F}};
}

/// Reads the rows' state; rows beyond the block are left as they are. The quad's sum goes to its
/// first lane. `Even`: head_dim is even, so that columns can be read in pairs.
template<bool Even, int N>
__device__ inline void load_state(float (&o)[N], row_state& rows, const fragment_place& at) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        if (at.row + 8 * r >= at.tokens) continue;
        const std::int64_t index = at.first + at.row + 8 * r;
        const float m = at.m[index];
        rows.max[r] = m / at.scale;
        const float factor = ptx::exp2(unit_exponent(m, offset_of(rows.max[r], at.scale_log2)));
        rows.sum[r] = at.lane % 4 == 0 ? at.l[index] * factor : 0.F;
        const float* acc = at.acc + index * at.head_dim;
#pragma unroll
        for (int i = 0; i < N / 4; ++i) {
            const int column = 8 * i + at.lane % 4 * 2;
            if (column >= at.head_dim) continue;
            if constexpr (Even) {
                const float2 two = *reinterpret_cast<const float2*>(acc + column);
                o[4 * i + 2 * r] = two.x * factor;
                o[4 * i + 2 * r + 1] = two.y * factor;
            } else {
                o[4 * i + 2 * r] = acc[column] * factor;
                if (column + 1 < at.head_dim) o[4 * i + 2 * r + 1] = acc[column + 1] * factor;
            }
        }
    }
}

/// What the state in memory holds for a fragment of N values.
template<int N>
struct stored_state {
    float m[2];
    float l[2];
    float2 acc[2][N / 4];
};

/// Reads it, all loads under way together. `Even` as above.
template<bool Even, int N>
__device__ inline void read_state(stored_state<N>& stored, const fragment_place& at) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        const bool inside = at.row + 8 * r < at.tokens;
        const std::int64_t index = at.first + at.row + 8 * r;
        stored.m[r] = inside ? __ldcg(at.m + index) : -infinity;
        stored.l[r] = inside ? __ldcg(at.l + index) : 0.F;
        const float* acc = at.acc + index * at.head_dim;
#pragma unroll
        for (int i = 0; i < N / 4; ++i) {
            const int column = 8 * i + at.lane % 4 * 2;
            stored.acc[r][i] = {};
            if (!inside || column >= at.head_dim) continue;
            if constexpr (Even) {
                stored.acc[r][i] = __ldcg(reinterpret_cast<const float2*>(acc + column));
            } else {
                stored.acc[r][i].x = __ldcg(acc + column);
                if (column + 1 < at.head_dim) stored.acc[r][i].y = __ldcg(acc + column + 1);
            }
        }
    }
}

/// Adds what was read to the rows' state.
template<int N>
__device__ inline void add_state(float (&o)[N], row_state& rows, const stored_state<N>& stored,
                                 const fragment_place& at) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        const float max = fmaxf(rows.max[r], stored.m[r] / at.scale);
        const float offset = offset_of(max, at.scale_log2);
        const float ours = ptx::exp2(__fmul_rn(rows.max[r], at.scale_log2) - offset);
        const float theirs = ptx::exp2(unit_exponent(stored.m[r], offset));
        rows.max[r] = max;
        rows.sum[r] *= ours;
        if (at.lane % 4 == 0) rows.sum[r] += stored.l[r] * theirs;
#pragma unroll
        for (int i = 0; i < N / 4; ++i) {
            float* x = o + 4 * i + 2 * r;
            x[0] = x[0] * ours + stored.acc[r][i].x * theirs;
            x[1] = x[1] * ours + stored.acc[r][i].y * theirs;
        }
    }
}

/// Writes the rows' state, the quad's sums added up.
template<bool Even, int N>
__device__ inline void store_state(const float (&o)[N], const row_state& rows,
                                   const fragment_place& at) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        float sum = rows.sum[r];
        sum += __shfl_xor_sync(0xFFFFFFFF, sum, 1);
        sum += __shfl_xor_sync(0xFFFFFFFF, sum, 2);
        if (at.row + 8 * r >= at.tokens) continue;
        const std::int64_t index = at.first + at.row + 8 * r;
        const float m = rows.max[r] * at.scale;
        const float factor = ptx::exp2(-unit_exponent(m, offset_of(rows.max[r], at.scale_log2)));
        if (at.lane % 4 == 0) {
            at.m[index] = m;
            at.l[index] = sum * factor;
        }
        float* acc = at.acc + index * at.head_dim;
#pragma unroll
        for (int i = 0; i < N / 4; ++i) {
            const int column = 8 * i + at.lane % 4 * 2;
            if (column >= at.head_dim) continue;
            const float2 two =
                make_float2(o[4 * i + 2 * r] * factor, o[4 * i + 2 * r + 1] * factor);
            if constexpr (Even) {
                *reinterpret_cast<float2*>(acc + column) = two;
            } else {
                acc[column] = two.x;
                if (column + 1 < at.head_dim) acc[column + 1] = two.y;
            }
        }
    }
}

} // namespace cqsa::cuda
