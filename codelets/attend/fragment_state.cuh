// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/cuda/ptx.cuh"

#include <cfloat>
#include <cmath>
#include <cstdint>

/// Online softmax on accumulator fragments, which wgmma and mma.sync lay out alike: a thread holds
/// two rows (lane/4 and 8 below) and, of each, the columns 8i + 2·(lane%4) + {0, 1}; the four lanes
/// of a quad hold the rest of the same rows. And the way of a fragment from and to a state in
/// memory.
namespace cqsa::cuda {

constexpr float infinity = INFINITY;

/// What no offset of an exponent is below: that of a row that has seen no key.
constexpr float lowest_offset = -FLT_MAX;

/// The running maximum of the unscaled scores and the sum of the weights, for a thread's two rows.
/// `sum` counts the thread's own columns only: the quad is added up at the end of the tile. Between
/// lazy steps what was summed refers to `offset` (see softmax_step_lazy), else to the maximum.
struct row_state {
    float max[2] = {-infinity, -infinity};
    float sum[2] = {0.F, 0.F};
    float offset[2] = {lowest_offset, lowest_offset};
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

/// Raises the rows' maxima to their scores', in the whole quad.
template<int N>
__device__ inline void raise_maxima(float (&max)[2], const float (&s)[N]) {
    float highest[2][2] = {{max[0], max[0]}, {max[1], max[1]}};
#pragma unroll
    for (int i = 0; i < N; ++i)
        highest[i / 2 % 2][i % 2] = fmaxf(highest[i / 2 % 2][i % 2], s[i]);
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        max[r] = fmaxf(highest[r][0], highest[r][1]);
        max[r] = fmaxf(max[r], __shfl_xor_sync(0xFFFFFFFF, max[r], 1));
        max[r] = fmaxf(max[r], __shfl_xor_sync(0xFFFFFFFF, max[r], 2));
    }
}

/// Turns scores into weights 2^(s·scale_log2 − offset) and returns the sums of the rows' own.
template<int N>
__device__ inline float2 weigh(float (&s)[N], const float (&offset)[2], float scale_log2) {
    float sum[2] = {0.F, 0.F};
#pragma unroll
    for (int i = 0; i < N; ++i) {
        const int r = i / 2 % 2;
        s[i] = ptx::exp2(fmaf(s[i], scale_log2, -offset[r]));
        sum[r] += s[i];
    }
    return {sum[0], sum[1]};
}

/// By what the sums before a step must be multiplied, of the thread's upper and its lower row;
/// `needed` where any upper, or any lower, row of the warp must.
struct rescaling {
    float factor[2] = {1.F, 1.F};
    bool needed[2] = {false, false};
};

template<int N>
__device__ inline void rescale(float (&fragment)[N], const rescaling& by) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        if (!by.needed[r]) continue;
#pragma unroll
        for (int i = 0; i < N; ++i)
            if (i / 2 % 2 == r) fragment[i] *= by.factor[r];
    }
}

/// Turns scores into weights 2^((s − max)·scale_log2) and updates the rows' state.
template<int N>
__device__ inline rescaling softmax_step(float (&s)[N], row_state& rows, float scale_log2) {
    rescaling before;
    const float max[2] = {rows.max[0], rows.max[1]};
    raise_maxima(rows.max, s);
    float offset[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        offset[r] = offset_of(rows.max[r], scale_log2);
        before.factor[r] = ptx::exp2(__fmul_rn(max[r], scale_log2) - offset[r]);
        before.needed[r] = true;
    }
    const float2 sum = weigh(s, offset, scale_log2);
    rows.sum[0] = fmaf(rows.sum[0], before.factor[0], sum.x);
    rows.sum[1] = fmaf(rows.sum[1], before.factor[1], sum.y);
    return before;
}

/// By how much (base 2) a row's maximum may pass the offset of a lazy step, for a tile of `keys`
/// keys; `row_keys`: those of its rows in all launches, where known. A weight of 1, that of a
/// maximum which is the offset, is not rounded in 16 bit, others are, and in few steps the largest
/// weights tell. With these bounds of at most 1 the error is that of kernels that always follow the
/// maximum (bench/peers/errors.py); with 8 it is 3 % more among 4096 keys. One launch of many would
/// climb to the maximum anew, so it follows only where that tells.
template<int KeyTile>
__device__ inline float slack_for(int keys, int row_keys) {
    constexpr int many_keys = 1 << 15;
    constexpr int many_steps = 200;
    if (row_keys > max(keys, many_keys)) return 8.F;
    const auto steps = static_cast<float>(max(keys, row_keys)) / KeyTile;
    return fminf(fmaxf(steps / many_steps, 0.125F), 1.F);
}

/// As softmax_step, but the offset follows the maximum only when one of the warp's upper, or lower,
/// rows has passed it by more than the slack, so that after the first keys little is rescaled
/// (Zadouri et al., FlashAttention-4). Weights of up to 2^8 are far from the largest number in 16
/// bit.
template<int N>
__device__ inline rescaling softmax_step_lazy(float (&s)[N], row_state& rows, float scale_log2,
                                              float slack) {
    rescaling before;
    raise_maxima(rows.max, s);
    const float passed[2] = {fmaf(rows.max[0], scale_log2, -rows.offset[0]),
                             fmaf(rows.max[1], scale_log2, -rows.offset[1])};
    if (__any_sync(0xFFFFFFFF, fmaxf(passed[0], passed[1]) > slack)) {
#pragma unroll
        for (int r = 0; r < 2; ++r) {
            before.needed[r] = __any_sync(0xFFFFFFFF, passed[r] > slack);
            const bool moves = before.needed[r] && passed[r] > 0;
            const float offset = moves ? offset_of(rows.max[r], scale_log2) : rows.offset[r];
            before.factor[r] = ptx::exp2(rows.offset[r] - offset);
            rows.offset[r] = offset;
            rows.sum[r] *= before.factor[r];
        }
    }
    const float2 sum = weigh(s, rows.offset, scale_log2);
    rows.sum[0] += sum.x;
    rows.sum[1] += sum.y;
    return before;
}

/// Lets what was summed in lazy steps refer to the maximum.
template<int N>
__device__ inline void settle(float (&o)[N], row_state& rows, float scale_log2) {
    rescaling by;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        by.needed[r] = true;
        by.factor[r] = ptx::exp2(rows.offset[r] - offset_of(rows.max[r], scale_log2));
        rows.sum[r] *= by.factor[r];
    }
    rescale(o, by);
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

/// The score whose scaled value is about m: a maximum to refer to need not be exact.
__device__ inline float unscaled(float m, float scale) {
    return __fdividef(m, scale);
}

template<int N>
__device__ inline void clear(float (&fragment)[N]) {
#pragma unroll
    for (int i = 0; i < N; ++i)
        fragment[i] = 0.F;
}

// A thread reads and writes its own columns one by one, or, in fours (`Fours`; head_dim a multiple
// of 8), four neighbouring columns at once, so that a quad's access fills 64 bytes: of two
// neighbouring blocks of eight columns the even lanes take the first, the odd lanes the second, and
// then swap.

/// The first of the four columns that a lane takes of the blocks i and i + 1.
__device__ inline int four_columns(int i, int lane) {
    return 8 * (i + lane % 2) + lane % 4 / 2 * 4;
}

/// Four columns of one block, as a and b, become two columns of the first block, a, and two of the
/// second, b; and back.
__device__ inline void swap_columns(float2& a, float2& b, int lane) {
    const bool odd = lane % 2 != 0;
    const float2 given = odd ? a : b;
    const float2 got = {__shfl_xor_sync(0xFFFFFFFF, given.x, 1),
                        __shfl_xor_sync(0xFFFFFFFF, given.y, 1)};
    if (odd)
        a = got;
    else
        b = got;
}

/// What the state in memory holds for a thread's columns of one row; in fours, as read, not
/// swapped.
template<int Columns>
struct stored_row {
    static_assert(Columns % 4 == 0, "pairs of blocks, of which a lane has two columns each");
    float m;
    float l;
    float2 acc[Columns / 2];
};

/// Reads the upper (r = 0) or the lower row, all loads under way together; beyond the block a row
/// is empty.
template<bool Fours, int Columns>
__device__ inline void read_row(stored_row<Columns>& stored, int r, const fragment_place& at) {
    const bool inside = at.row + 8 * r < at.tokens;
    const std::int64_t index = at.first + at.row + 8 * r;
    stored.m = inside ? __ldcg(at.m + index) : -infinity;
    stored.l = inside ? __ldcg(at.l + index) : 0.F;
    const float* acc = at.acc + index * at.head_dim;
    if constexpr (Fours) {
#pragma unroll
        for (int i = 0; i < Columns / 2; i += 2) {
            const int column = four_columns(i, at.lane);
            float4 four = {};
            if (inside && column < at.head_dim)
                four = __ldcg(reinterpret_cast<const float4*>(acc + column));
            stored.acc[i] = {four.x, four.y};
            stored.acc[i + 1] = {four.z, four.w};
        }
    } else {
#pragma unroll
        for (int i = 0; i < Columns / 2; ++i) {
            const int column = 8 * i + at.lane % 4 * 2;
            stored.acc[i] = {};
            if (inside && column < at.head_dim) stored.acc[i].x = __ldcg(acc + column);
            if (inside && column + 1 < at.head_dim) stored.acc[i].y = __ldcg(acc + column + 1);
        }
    }
}

/// Calls `take(index in the fragment, value)` for a row's values.
template<bool Fours, int Columns, class Take>
__device__ inline void for_each_stored(const stored_row<Columns>& stored, int r, int lane,
                                       const Take& take) {
#pragma unroll
    for (int i = 0; i < Columns / 2; i += 2) {
        float2 a = stored.acc[i];
        float2 b = stored.acc[i + 1];
        if constexpr (Fours) swap_columns(a, b, lane);
        const int first = 4 * i + 2 * r;
        take(first, a.x);
        take(first + 1, a.y);
        take(first + 4, b.x);
        take(first + 5, b.y);
    }
}

/// Reads the rows' state. The quad's sum goes to its first lane.
template<bool Fours, int N>
__device__ inline void load_state(float (&o)[N], row_state& rows, const fragment_place& at) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        stored_row<N / 2> stored;
        read_row<Fours>(stored, r, at);
        rows.max[r] = unscaled(stored.m, at.scale);
        const float offset = offset_of(rows.max[r], at.scale_log2);
        if (stored.m != -infinity) rows.offset[r] = offset;
        const float factor = ptx::exp2(unit_exponent(stored.m, offset));
        rows.sum[r] = at.lane % 4 == 0 ? stored.l * factor : 0.F;
        for_each_stored<Fours>(stored, r, at.lane, [&](int i, float x) { o[i] = x * factor; });
    }
}

/// Adds a row's stored state to the rows' state. The quad's stored sum goes to its first lane.
template<bool Fours, int N>
__device__ inline void add_row(float (&o)[N], row_state& rows, const stored_row<N / 2>& stored,
                               int r, const fragment_place& at) {
    const float max = fmaxf(rows.max[r], unscaled(stored.m, at.scale));
    const float offset = offset_of(max, at.scale_log2);
    const float ours = ptx::exp2(__fmul_rn(rows.max[r], at.scale_log2) - offset);
    const float theirs = ptx::exp2(unit_exponent(stored.m, offset));
    rows.max[r] = max;
    rows.sum[r] *= ours;
    if (at.lane % 4 == 0) rows.sum[r] += stored.l * theirs;
    for_each_stored<Fours>(stored, r, at.lane,
                           [&](int i, float x) { o[i] = o[i] * ours + x * theirs; });
}

/// Writes the rows' state, the quad's sums added up.
template<bool Fours, int N>
__device__ inline void store_state(const float (&o)[N], const row_state& rows,
                                   const fragment_place& at) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        float sum = rows.sum[r];
        sum += __shfl_xor_sync(0xFFFFFFFF, sum, 1);
        sum += __shfl_xor_sync(0xFFFFFFFF, sum, 2);
        const bool inside = at.row + 8 * r < at.tokens;
        const std::int64_t index = at.first + at.row + 8 * r;
        const float m = rows.max[r] * at.scale;
        const float factor = ptx::exp2(-unit_exponent(m, offset_of(rows.max[r], at.scale_log2)));
        if (inside && at.lane % 4 == 0) {
            at.m[index] = m;
            at.l[index] = sum * factor;
        }
        float* acc = at.acc + index * at.head_dim;
        const auto two = [&](int i) {
            return make_float2(o[4 * i + 2 * r] * factor, o[4 * i + 2 * r + 1] * factor);
        };
        if constexpr (Fours) {
#pragma unroll
            for (int i = 0; i < N / 4; i += 2) {
                float2 a = two(i);
                float2 b = two(i + 1);
                swap_columns(a, b, at.lane);
                const int column = four_columns(i, at.lane);
                if (inside && column < at.head_dim)
                    *reinterpret_cast<float4*>(acc + column) = make_float4(a.x, a.y, b.x, b.y);
            }
        } else {
#pragma unroll
            for (int i = 0; i < N / 4; ++i) {
                const int column = 8 * i + at.lane % 4 * 2;
                if (inside && column < at.head_dim) acc[column] = two(i).x;
                if (inside && column + 1 < at.head_dim) acc[column + 1] = two(i).y;
            }
        }
    }
}

} // namespace cqsa::cuda
