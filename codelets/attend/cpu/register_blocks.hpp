// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/attend/cpu/weights.hpp"

#include <cstdint>
#include <utility>

namespace cqsa::cpu {
namespace {

/// One matrix product C[rows][vectors] = A[rows][k]·B[k][vectors] of an engine (engine.hpp): A in
/// rows of `stride` units, B in panels, C in rows of ldc scalars. An *update* is C = factor·C + A·B
/// with a factor for each row. Any other product raises `high`, a vector for each row, to the row's
/// vectors of C, and may compute weights meanwhile.
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
    Weights<E>* meanwhile = nullptr;
};

/// `rows` rows of C from a row on, `vectors` vectors of a panel: all in registers. With
/// `weight_steps`, a run of weights is computed too, a vector before so many steps of the sum: the
/// processor does both at once, since weights take other units of it than products.
template<class E, int stride, int rows, int vectors, bool update, int weight_steps>
[[gnu::always_inline]] inline void register_block(const product<E>& x, std::int64_t row,
                                                  std::int64_t panel_index,
                                                  typename E::V::vec (&high)[rows]) {
    using V = typename E::V;
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
    const auto step = [&] {
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
        ++a;
        b += panel;
    };
    std::int64_t i = 0;
    if constexpr (weight_steps > 0) {
        const auto steps = [&] {
#pragma GCC unroll 4
            for (int j = 0; j < weight_steps; ++j) {
                step();
            }
        };
        weighed_row<E> weighed = x.meanwhile->begin_run();
        for (int p = 0; p < Weights<E>::run_panels; ++p) {
            const auto first = weighed.weight(0);
            steps();
            const auto second = weighed.weight(1);
            steps();
            weighed.put(first, second);
        }
        x.meanwhile->end_run(weighed);
        i = std::int64_t{Weights<E>::run_vectors} * weight_steps;
    }
#pragma GCC unroll 2
    for (; i < x.k; ++i) {
        step();
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
#pragma GCC unroll 4
            for (int v = 0; v < vectors; ++v) {
                high[r] = V::max(high[r], sum[r][v]);
            }
        }
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) {
            V::store(c + v * V::width, sum[r][v]);
        }
    }
}

/// The largest of each row so far, in registers.
template<class E, int rows>
void load_high(const product<E>& x, std::int64_t row, typename E::V::vec (&high)[rows]) {
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
        high[r] = E::V::load(x.high + (row + r) * E::V::width);
    }
}
template<class E, int rows>
void store_high(const product<E>& x, std::int64_t row, const typename E::V::vec (&high)[rows]) {
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
        E::V::store(x.high + (row + r) * E::V::width, high[r]);
    }
}

template<class E, int stride, int rows, int vectors, bool update>
void one_register_block(const product<E>& of, std::int64_t row, std::int64_t panel_index) {
    const product<E> x = of; // stores might change `of`, for all the compiler knows
    typename E::V::vec high[rows];
    if constexpr (!update) {
        load_high<E>(x, row, high);
    }
    register_block<E, stride, rows, vectors, update, 0>(x, row, panel_index, high);
    if constexpr (!update) {
        store_high<E>(x, row, high);
    }
}

/// All rows of C's first whole panels, as many as there are runs of weights; returns how many.
template<class E, int stride, int weight_steps>
std::int64_t register_blocks_with_weights(const product<E>& of) {
    const product<E> x = of;
    constexpr int rows = E::tile_rows;
    typename E::V::vec high[rows];
    load_high<E>(x, 0, high);
    std::int64_t p = 0;
    for (; p < x.vectors / 2 && x.meanwhile->more_runs(); ++p) {
        register_block<E, stride, rows, 2, false, weight_steps>(x, 0, p, high);
    }
    store_high<E>(x, 0, high);
    return p;
}

/// one_register_block for every number of rows up to V::row_block.
template<class E>
struct register_block_table {
    void (*of_rows[E::V::row_block])(const product<E>&, std::int64_t, std::int64_t);
};
template<class E, int stride, int vectors, bool update, int... r>
constexpr register_block_table<E> table_of(std::integer_sequence<int, r...> /*rows - 1*/) {
    return {{one_register_block<E, stride, r + 1, vectors, update>...}};
}

/// The product, its rows cut evenly into register blocks.
template<class E, int stride, bool update>
void multiply_in_registers(const product<E>& x) {
    using V = typename E::V;
    static_assert(V::panel_vectors == 2, "a panel is whole or one vector");
    constexpr std::make_integer_sequence<int, V::row_block> sizes;
    static constexpr auto narrow = table_of<E, stride, 1, update>(sizes);
    static constexpr auto wide = table_of<E, stride, 2, update>(sizes);
    std::int64_t p = 0;
    if constexpr (!update && E::tiles_in_flight == 2) {
        constexpr int run = Weights<E>::run_vectors;
        if (x.rows == E::tile_rows && x.k >= run) {
            p = x.k >= 4 * run   ? register_blocks_with_weights<E, stride, 4>(x)
                : x.k >= 2 * run ? register_blocks_with_weights<E, stride, 2>(x)
                                 : register_blocks_with_weights<E, stride, 1>(x);
        }
    }
    for (; 2 * p < x.vectors; ++p) {
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
