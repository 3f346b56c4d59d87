// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <utility>

namespace cqsa::cpu {
namespace {

/// One matrix product C[rows][vectors] = A[rows][k]·B[k][vectors] of an engine (engine.hpp): A in
/// rows of `stride` units, B one panel, C in rows of ldc scalars. An *update* is C = factor·C + A·B
/// with a factor for each row.
template<class E>
struct product {
    using unit = typename E::unit;
    using scalar = typename E::V::scalar;
    const unit* a;
    std::int64_t rows;
    const unit* b;
    std::int64_t k;
    scalar* c;
    std::int64_t ldc;
    int vectors;          ///< 1 or panel_vectors
    const scalar* factor; ///< not read unless an update
};

/// `rows` x `vectors` vectors of C, all in registers.
template<class E, int stride, int rows, int vectors, bool update>
void register_block(const product<E>& x, std::int64_t first) {
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
    const typename E::unit* a = x.a + first * stride;
    const typename E::unit* b = x.b;
    for (std::int64_t i = 0; i < x.k; ++i, ++a, b += panel) {
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
    typename V::scalar* c = x.c + first * x.ldc;
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) {
            typename V::scalar* to = c + r * x.ldc + v * V::width;
            if constexpr (update) {
                // The call's sums are added as a whole: errors grow with the calls, not with k.
                sum[r][v] = V::fma(V::load(to), V::broadcast(x.factor[first + r]), sum[r][v]);
            }
            V::store(to, sum[r][v]);
        }
    }
}

/// register_block for every number of rows up to V::row_block.
template<class E>
struct register_block_table {
    void (*of_rows[E::V::row_block])(const product<E>&, std::int64_t);
};
template<class E, int stride, int vectors, bool update, int... r>
constexpr register_block_table<E> table_of(std::integer_sequence<int, r...> /*rows - 1*/) {
    return {{register_block<E, stride, r + 1, vectors, update>...}};
}

/// The product, its rows cut evenly into register blocks.
template<class E, int stride, bool update>
void multiply_in_registers(const product<E>& x) {
    using V = typename E::V;
    constexpr std::make_integer_sequence<int, V::row_block> sizes;
    static constexpr auto narrow = table_of<E, stride, 1, update>(sizes);
    static constexpr auto wide = table_of<E, stride, V::panel_vectors, update>(sizes);
    const auto& table = x.vectors == 1 ? narrow : wide;
    std::int64_t first = 0;
    for (std::int64_t left = (x.rows + V::row_block - 1) / V::row_block; left > 0; --left) {
        const std::int64_t n = (x.rows - first + left - 1) / left;
        table.of_rows[n - 1](x, first);
        first += n;
    }
}

} // namespace
} // namespace cqsa::cpu
