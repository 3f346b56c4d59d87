// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <utility>

namespace cqsa::cpu {
namespace {

/// One matrix product C[rows][vectors] = A[rows][k]·B[k][vectors] of an engine (engine.hpp): A in
/// rows of `stride` units, B in panels, C in rows of ldc scalars. An *update* is C = factor·C + A·B
/// with a factor for each row. Any other product raises `high`, a vector for each row, to the row's
/// vectors of C.
template<class E>
struct product {
    using unit = typename E::unit;
    using scalar = typename E::V::scalar;
    const unit* a;
    std::int64_t rows;
    const unit* b;
    std::int64_t panel_units; ///< from one panel of B to the next
    std::int64_t k;
    scalar* c;
    std::int64_t ldc;
    std::int64_t vectors;           ///< of a row of C
    const scalar* factor = nullptr; ///< of updates
    scalar* high = nullptr;         ///< of others
};

/// `rows` rows of C from a row on, `vectors` vectors of a panel: all in registers.
template<class E, int stride, int rows, int vectors, bool update>
void register_block(const product<E>& of, std::int64_t row, std::int64_t panel_index) {
    using V = typename E::V;
    const product<E> x = of; // stores might change `of`, for all the compiler knows
    constexpr int panel = V::panel_vectors * V::width;
    // The processor's own prefetch ends with a page.
    constexpr int page = 4096 / sizeof(typename E::unit);
    typename V::vec sum[rows][vectors];
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) {
            sum[r][v] = V::zero();
        }
    }
    const typename E::unit* a = x.a + row * stride;
    const typename E::unit* b = x.b + panel_index * x.panel_units;
#pragma GCC unroll 2
    for (std::int64_t i = 0; i < x.k; ++i, ++a, b += panel) {
        decltype(E::lanes(b)) right[vectors];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) {
            right[v] = E::lanes(b + v * V::width);
            __builtin_prefetch(b + page + v * V::width);
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
    typename V::scalar* c = x.c + row * x.ldc + panel_index * panel;
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r, c += x.ldc) {
        if constexpr (update) {
            // The call's sums are added as a whole: errors grow with the calls, not with k.
            const auto factor = V::broadcast(x.factor[row + r]);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; ++v) {
                sum[r][v] = V::fma(V::load(c + v * V::width), factor, sum[r][v]);
            }
        } else {
            typename V::scalar* const to = x.high + (row + r) * V::width;
            auto high = V::load(to);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; ++v) {
                high = V::max(high, sum[r][v]);
            }
            V::store(to, high);
        }
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) {
            V::store(c + v * V::width, sum[r][v]);
        }
    }
}

/// register_block for every number of rows up to V::row_block.
template<class E>
struct register_block_table {
    void (*of_rows[E::V::row_block])(const product<E>&, std::int64_t, std::int64_t);
};
template<class E, int stride, int vectors, bool update, int... r>
constexpr register_block_table<E> table_of(std::integer_sequence<int, r...> /*rows - 1*/) {
    return {{register_block<E, stride, r + 1, vectors, update>...}};
}

/// The product, its rows cut evenly into register blocks.
template<class E, int stride, bool update>
void multiply_in_registers(const product<E>& x) {
    using V = typename E::V;
    static_assert(V::panel_vectors == 2, "a panel is whole or one vector");
    constexpr std::make_integer_sequence<int, V::row_block> sizes;
    static constexpr auto narrow = table_of<E, stride, 1, update>(sizes);
    static constexpr auto wide = table_of<E, stride, 2, update>(sizes);
    for (std::int64_t p = 0; 2 * p < x.vectors; ++p) {
        const auto& table = x.vectors - 2 * p == 1 ? narrow : wide;
        std::int64_t first = 0;
        for (std::int64_t left = (x.rows + V::row_block - 1) / V::row_block; left > 0; --left) {
            const std::int64_t n = (x.rows - first + left - 1) / left;
            table.of_rows[n - 1](x, first, p);
            first += n;
        }
    }
}

} // namespace
} // namespace cqsa::cpu
