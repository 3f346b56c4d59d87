// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/cpu/exponential.hpp"

#include <cstdint>
#include <utility>

namespace cqsa::cpu {
namespace {

/// An engine multiplies matrices, C = A[rows][k] · B[k][columns], where k counts *units*, runs of
/// `pair` successive elements along the sum that one lane of a vector holds (two bf16, or one
/// scalar). A lies in rows of `stride` units, B in a panel of panel_vectors vectors a row, C in
/// rows of ldc scalars. It may also update, C = factor·C + A·B with a factor for each row. This one
/// keeps a block of C in registers and takes any simd type:
///   Element  type of queries, keys and values in memory
///   V        simd type of the scores, the weights' exponentials and the accumulators
/// Its units are V's scalars, so 16-bit inputs are widened.
template<class V_, class Element>
struct widening_engine {
    using V = V_;
    using element = Element;
    using unit = typename V::scalar;
    static constexpr int pair = 1;
    static constexpr int depth = 1; ///< k is a multiple of this
    static constexpr accuracy weights = sizeof(Element) == 2 ? accuracy::coarse : accuracy::fine;

    static void widen(const element* in, std::int64_t n, unit* out) { V::widen(in, n, out); }
    static unit negated(unit x) { return -x; }
    static auto spread(const unit* a) { return V::broadcast(*a); }
    static auto lanes(const unit* b) { return V::load(b); }
    static auto dot(typename V::vec a, typename V::vec b, typename V::vec c) {
        return V::fma(a, b, c);
    }
    /// Two vectors of weights as units.
    static void store_weights(unit* out, typename V::vec a, typename V::vec b) {
        V::store(out, a);
        V::store(out + V::width, b);
    }
};

/// One block of C: `rows` x `vectors` vectors, all in registers.
template<class E, int stride, int rows, int vectors, bool update>
void multiply_block(const typename E::unit* a, const typename E::unit* b, std::int64_t k,
                    typename E::V::scalar* c, std::int64_t ldc,
                    const typename E::V::scalar* factor) {
    using V = typename E::V;
    constexpr int panel = V::panel_vectors * V::width;
    typename V::vec sum[rows][vectors];
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) {
            sum[r][v] = V::zero();
        }
    }
    for (std::int64_t i = 0; i < k; ++i, ++a, b += panel) {
        decltype(E::lanes(b)) right[vectors];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) {
            right[v] = E::lanes(b + v * V::width);
        }
#pragma GCC unroll 16
        for (int r = 0; r < rows; ++r) {
            const auto left = E::spread(a + r * stride);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; ++v) {
                sum[r][v] = E::dot(left, right[v], sum[r][v]);
            }
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) {
            typename V::scalar* to = c + r * ldc + v * V::width;
            if constexpr (update) {
                // The call's sums are added as a whole: errors grow with the calls, not with k.
                sum[r][v] = V::fma(V::load(to), V::broadcast(factor[r]), sum[r][v]);
            }
            V::store(to, sum[r][v]);
        }
    }
}

/// multiply_block for every number of rows up to V::row_block.
template<class E>
struct block_functions {
    void (*of_rows[E::V::row_block])(const typename E::unit*, const typename E::unit*, std::int64_t,
                                     typename E::V::scalar*, std::int64_t,
                                     const typename E::V::scalar*);
};
template<class E, int stride, int vectors, bool update, int... r>
constexpr block_functions<E> blocks_of(std::integer_sequence<int, r...> /*rows - 1*/) {
    return {{multiply_block<E, stride, r + 1, vectors, update>...}};
}

/// C[rows][vectors] = A·B over one panel of B, or with `update` factor·C + A·B. Rows are cut evenly
/// into register blocks.
template<class E, int stride, bool update>
void multiply(const typename E::unit* a, std::int64_t rows, const typename E::unit* b,
              std::int64_t k, typename E::V::scalar* c, std::int64_t ldc, int vectors,
              const typename E::V::scalar* factor) {
    using V = typename E::V;
    constexpr std::make_integer_sequence<int, V::row_block> sizes;
    static constexpr auto narrow = blocks_of<E, stride, 1, update>(sizes);
    static constexpr auto wide = blocks_of<E, stride, V::panel_vectors, update>(sizes);
    const auto& blocks = vectors == 1 ? narrow : wide;
    for (std::int64_t r = 0, left = (rows + V::row_block - 1) / V::row_block; left > 0; --left) {
        const std::int64_t n = (rows - r + left - 1) / left;
        blocks.of_rows[n - 1](a + r * stride, b, k, c + r * ldc, ldc, factor + r);
        r += n;
    }
}

} // namespace
} // namespace cqsa::cpu
