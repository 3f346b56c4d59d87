// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/attend/fragment_state.cuh"
#include "codelets/attend/mma/parameters.hpp"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

/// attend with mma.sync, after FlashAttention-2 (Dao, arXiv 2307.08691).
///
/// A CTA of four warps takes 64 query rows of one head, a warp 16 of them. Q lies in shared memory;
/// tiles of 32 keys and 32 values have a slot each, which is filled again (cp.async) while the
/// other is in use; three CTAs a multiprocessor hide the rest. S, P and O stay in registers. All
/// products are TF32 with fp32 sums:
///  - f16 and bf16 are exact in TF32, so one product does; the weights are rounded to TF32 (11
///  bits).
///  - f32 operands are split in two TF32 terms, x = hi + lo, and x·y = lo·hi + hi·lo + hi·hi leaves
///    an error of about 2^-22 (Markidis et al., arXiv 1803.04014; CUTLASS' FastF32). The tensor
///    cores round sums towards zero, so a sum stays there for a few products only (Ootomo and
///    Yokota, arXiv 2203.03341).
/// The order of the terms of a sum is free, so slot t of an operand's eight holds column 2t and
/// slot t + 4 column 2t + 1: the accumulator layout of S is then the operand layout of P.
namespace cqsa::cuda::mma {

constexpr int threads = 128;
constexpr int tile_rows = 64;
constexpr int tile_keys = 32;

template<class Element>
constexpr bool split_terms = sizeof(Element) == 4;

/// Rows of shared memory are padded by 16 bytes, which spreads a fragment over all banks.
template<class Element, int HeadDim>
struct shared_memory {
    static constexpr int pitch = HeadDim + 16 / static_cast<int>(sizeof(Element));
    Element query[tile_rows][pitch];
    Element keys[tile_keys][pitch];
    Element values[tile_keys][pitch];
};

__device__ inline float to_float(float x) {
    return x;
}
__device__ inline float to_float(__half x) {
    return __half2float(x);
}
__device__ inline float to_float(__nv_bfloat16 x) {
    return __bfloat162float(x);
}

/// Two neighbouring elements, the first at an even column.
__device__ inline float2 pair_at(const float* x) {
    return *reinterpret_cast<const float2*>(x);
}
__device__ inline float2 pair_at(const __half* x) {
    return __half22float2(*reinterpret_cast<const __half2*>(x));
}
__device__ inline float2 pair_at(const __nv_bfloat16* x) {
    return __bfloat1622float2(*reinterpret_cast<const __nv_bfloat162*>(x));
}

/// An operand element as one or two TF32 terms.
struct terms {
    std::uint32_t high;
    std::uint32_t low;
};

/// high is rounded to 10 bits of mantissa; of low the hardware takes as many. A NaN stays in low.
template<bool Split>
__device__ inline terms split(float x) {
    const std::uint32_t bits = __float_as_uint(x);
    if constexpr (!Split) return {bits, 0};
    const std::uint32_t high = (bits + 0x1000) & 0xFFFFE000;
    return {high, __float_as_uint(x - __uint_as_float(high))};
}

/// A weight, which no 16-bit type holds exactly, as a left operand.
template<bool Split>
__device__ inline terms split_weight(float x) {
    if constexpr (Split) return split<true>(x);
    std::uint32_t rounded;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(x));
    return {rounded, 0};
}

/// c += a·b, 16×8×8 (PTX ISA, mma.m16n8k8 for .tf32).
__device__ inline void product(float (&c)[4], std::uint32_t a0, std::uint32_t a1, std::uint32_t a2,
                               std::uint32_t a3, std::uint32_t b0, std::uint32_t b1) {
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, "
                 "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

/// large += hi·hi, small += lo·hi + hi·lo
template<bool Split>
__device__ inline void product(float (&large)[4], float (&small)[4], const terms (&a)[4],
                               const terms (&b)[2]) {
    product(large, a[0].high, a[1].high, a[2].high, a[3].high, b[0].high, b[1].high);
    if constexpr (Split) {
        product(small, a[0].low, a[1].low, a[2].low, a[3].low, b[0].high, b[1].high);
        product(small, a[0].high, a[1].high, a[2].high, a[3].high, b[0].low, b[1].low);
    }
}

/// Copies rows [first, first + Rows) of one head to shared memory; rows from `tokens` on and
/// columns from head_dim on arrive as zeros.
template<int Rows, int HeadDim, class Element, int Pitch>
__device__ inline void copy_rows(Element (&to)[Rows][Pitch], const Element* from,
                                 std::int64_t token_stride, int first, int tokens,
                                 const launch_parameters& p) {
    constexpr int per_chunk = 16 / static_cast<int>(sizeof(Element));
    constexpr int chunks = HeadDim / per_chunk;
    for (int i = static_cast<int>(threadIdx.x); i < Rows * chunks; i += threads) {
        const int row = i / chunks;
        const int column = i % chunks * per_chunk;
        const bool inside = first + row < tokens;
        const Element* source = from + (inside ? (first + row) * token_stride + column : 0);
        if (p.sixteen_bytes) {
            const int bytes = inside && column < p.head_dim ? 16 : 0;
            asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(
                             static_cast<unsigned>(__cvta_generic_to_shared(&to[row][column]))),
                         "l"(bytes == 0 ? from : source), "r"(bytes)
                         : "memory");
        } else {
            for (int e = 0; e < per_chunk; ++e)
                to[row][column + e] =
                    inside && column + e < p.head_dim ? source[e] : static_cast<Element>(0.F);
        }
    }
}

__device__ inline void commit_copies() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}
template<int Pending>
__device__ inline void wait_copies() {
    asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
}

/// The tiles of keys that a row tile meets, in the order of the launch's key blocks.
class KeyWalk {
  public:
    __device__ KeyWalk(const launch_parameters& p, int query_block, int row)
        : p_(p), query_block_(query_block), row_(row) {
        block_ = -1;
        end_ = 0;
        next();
    }
    [[nodiscard]] __device__ bool done() const { return block_ >= p_.key_blocks; }
    [[nodiscard]] __device__ const key_entry& keys() const { return p_.keys[block_]; }
    [[nodiscard]] __device__ int token() const { return token_; }
    /// Row r of the tile sees its key c when c <= min(last, r + edge).
    [[nodiscard]] __device__ int last() const { return keys().tokens - token_ - 1; }
    [[nodiscard]] __device__ int edge() const {
        if (p_.pairs[query_block_][block_] == pair_kind::dense) return 1 << 29;
        return static_cast<int>(edge_of(block_) + row_ - token_);
    }
    __device__ void next() {
        token_ += tile_keys;
        while (token_ >= end_ && !done()) {
            ++block_;
            token_ = 0;
            end_ = done() ? 0 : visible();
        }
    }

  private:
    [[nodiscard]] __device__ std::int64_t edge_of(int j) const {
        return p_.queries[query_block_].position - p_.keys[j].position;
    }
    /// Keys of the block up to the last that any row of the tile sees.
    [[nodiscard]] __device__ int visible() const {
        const pair_kind kind = p_.pairs[query_block_][block_];
        if (kind == pair_kind::none) return 0;
        const int tokens = keys().tokens;
        if (kind == pair_kind::dense) return tokens;
        const int last_row = min(row_ + tile_rows, p_.queries[query_block_].tokens) - 1;
        const std::int64_t count = edge_of(block_) + last_row + 1;
        return static_cast<int>(max(std::int64_t{0}, min(std::int64_t{tokens}, count)));
    }

    const launch_parameters& p_;
    int query_block_;
    int row_;
    int block_;
    int token_ = 0;
    int end_;
};

template<class Element, int HeadDim>
__global__ void __launch_bounds__(threads, HeadDim <= 128 ? 3 : 1)
    attend_kernel(const __grid_constant__ launch_parameters p) {
    constexpr bool exact = split_terms<Element>;
    extern __shared__ __align__(16) std::byte memory[];
    auto& shared = *reinterpret_cast<shared_memory<Element, HeadDim>*>(memory);

    // The last row tiles have most keys under a causal mask: they go first.
    const int tile = p.row_tiles - 1 - static_cast<int>(blockIdx.y);
    int query_block = 0;
    while (query_block + 1 < p.query_blocks && p.queries[query_block + 1].first_tile <= tile)
        ++query_block;
    const query_entry& q = p.queries[query_block];
    const int row = (tile - q.first_tile) * tile_rows;
    const int batch = static_cast<int>(blockIdx.x) / p.heads;
    const int head = static_cast<int>(blockIdx.x) % p.heads;
    const int kv_head = head / p.heads_per_kv_head;
    const auto at = [&](const tensor_view& x, int h) {
        return static_cast<const Element*>(x.data) + batch * x.batch_stride + h * x.head_stride;
    };
    const auto copy_keys = [&](const KeyWalk& walk) {
        if (!walk.done())
            copy_rows<tile_keys, HeadDim>(shared.keys, at(walk.keys().k, kv_head),
                                          walk.keys().k.token_stride, walk.token(),
                                          walk.keys().tokens, p);
        commit_copies();
    };
    const auto copy_values = [&](const KeyWalk& walk) {
        if (!walk.done())
            copy_rows<tile_keys, HeadDim>(shared.values, at(walk.keys().v, kv_head),
                                          walk.keys().v.token_stride, walk.token(),
                                          walk.keys().tokens, p);
        commit_copies();
    };

    KeyWalk walk(p, query_block, row);
    if (walk.done() && !q.fresh) return;
    copy_rows<tile_rows, HeadDim>(shared.query, at(q.q, head), q.q.token_stride, row, q.tokens, p);
    copy_keys(walk);
    copy_values(walk);

    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int my_row = static_cast<int>(threadIdx.x) / 32 * 16 + lane / 4;
    const fragment_place place{.acc = q.acc,
                               .m = q.m,
                               .l = q.l,
                               .first = static_cast<std::int64_t>(blockIdx.x) * q.tokens,
                               .tokens = q.tokens,
                               .row = row + my_row,
                               .head_dim = p.head_dim,
                               .lane = lane,
                               .scale = p.scale,
                               .scale_log2 = p.scale_log2};
    float o[HeadDim / 2];
    row_state rows;
    clear(o);
    if (!q.fresh) load_state<false>(o, rows, place);

    while (!walk.done()) {
        const int last = walk.last();
        const int edge = walk.edge();
        walk.next();
        wait_copies<1>();
        __syncthreads(); // the keys are there

        float s[tile_keys / 8][4] = {};
        float small[tile_keys / 8][4] = {};
#pragma unroll
        for (int i = 0; i < HeadDim / 8; i += 2) {
            float large[tile_keys / 8][4] = {};
#pragma unroll
            for (int ii = i; ii < i + 2; ++ii) {
                const int column = 8 * ii + lane % 4 * 2;
                const float2 upper = pair_at(&shared.query[my_row][column]);
                const float2 lower = pair_at(&shared.query[my_row + 8][column]);
                const terms a[4] = {split<exact>(upper.x), split<exact>(lower.x),
                                    split<exact>(upper.y), split<exact>(lower.y)};
#pragma unroll
                for (int j = 0; j < tile_keys / 8; ++j) {
                    const float2 k = pair_at(&shared.keys[8 * j + lane / 4][column]);
                    const terms b[2] = {split<exact>(k.x), split<exact>(k.y)};
                    product<exact>(large[j], small[j], a, b);
                }
            }
#pragma unroll
            for (int j = 0; j < tile_keys / 8; ++j)
#pragma unroll
                for (int e = 0; e < 4; ++e)
                    s[j][e] += large[j][e];
        }
#pragma unroll
        for (int j = 0; j < tile_keys / 8; ++j)
#pragma unroll
            for (int e = 0; e < 4; ++e)
                s[j][e] = (s[j][e] + small[j][e]) * p.sign;
        __syncthreads(); // the keys are used
        copy_keys(walk);
        auto& scores = reinterpret_cast<float(&)[tile_keys / 2]>(s);
        if (last < tile_keys - 1 || edge < tile_keys - 1)
            mask_scores(scores, last, edge + my_row, lane);
        rescale(o, softmax_step(scores, rows, p.scale_log2));
        terms weights[tile_keys / 8][4];
#pragma unroll
        for (int j = 0; j < tile_keys / 8; ++j)
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                const float x = s[j][e / 2 + e % 2 * 2];
                weights[j][e] = split_weight<exact>(x);
            }
        wait_copies<1>();
        __syncthreads(); // the values are there
#pragma unroll
        for (int i = 0; i < HeadDim / 8; ++i) {
            float large[4] = {};
            float small[4] = {};
#pragma unroll
            for (int j = 0; j < tile_keys / 8; ++j) {
                const int key = 8 * j + lane % 4 * 2;
                const int column = 8 * i + lane / 4;
                const terms b[2] = {split<exact>(to_float(shared.values[key][column])),
                                    split<exact>(to_float(shared.values[key + 1][column]))};
                product<exact>(large, small, weights[j], b);
            }
#pragma unroll
            for (int e = 0; e < 4; ++e)
                o[4 * i + e] += exact ? large[e] + small[e] : large[e];
        }
        __syncthreads(); // the values are used
        copy_values(walk);
    }
    wait_copies<0>();
    store_state<false>(o, rows, place);
}

} // namespace cqsa::cuda::mma
