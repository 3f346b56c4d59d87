// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/attend/cpu/bf16_pairs.hpp"

#include <cstdint>

namespace cqsa::cpu {
namespace {

/// The engine (see engine.hpp) of AMX: 16x16 products of bf16 pairs in tile registers. `Tiles`
/// names eight of them, each 16 rows of 64 bytes: 0..3 hold a block of C of 32 x 32, 4 and 5 rows
/// of A, 6 and 7 columns of B. Rows of A and C are read and written in sixteens.
template<class Tiles>
struct bf16_tiles : bf16_pairs {
    static constexpr int depth = 16;
    static constexpr std::int64_t tile_rows = 64;
    static constexpr std::int64_t tile_keys = 512;
    static constexpr std::int64_t sum_keys = tile_keys;
    static constexpr std::int64_t tile_bytes = std::int64_t{4} << 20;
    static constexpr int tiles_in_flight = 1;
    static constexpr std::int64_t edge = 16;

    /// Tile registers are configured while a session lives.
    struct session {
        session() { Tiles::configure(); }
        ~session() { Tiles::release(); }
        session(const session&) = delete;
        session& operator=(const session&) = delete;
    };

    template<int stride, bool update>
    static void multiply(const product<bf16_tiles>& x) {
        if constexpr (update) {
            rescale(x);
        }
        for (std::int64_t v = 0; v < x.vectors; v += 2) {
            for (std::int64_t r = 0; r < x.rows; r += 2 * edge) {
                const bool tall = x.rows - r > edge;
                if (x.vectors - v >= 2) {
                    tall ? block<stride, update, 2, 2>(x, r, v)
                         : block<stride, update, 1, 2>(x, r, v);
                } else {
                    tall ? block<stride, update, 2, 1>(x, r, v)
                         : block<stride, update, 1, 1>(x, r, v);
                }
            }
        }
        if constexpr (!update) {
            raise(x);
        }
    }

  private:
    static void rescale(const product<bf16_tiles>& x) {
        for (std::int64_t r = 0; r < x.rows; ++r) {
            if (x.factor[r] == 1) {
                continue;
            }
            for (std::int64_t v = 0; v < x.vectors; ++v) {
                float* to = x.c + r * x.ldc + v * V::width;
                V::store(to, V::mul(V::load(to), V::broadcast(x.factor[r])));
            }
        }
    }

    static void raise(const product<bf16_tiles>& x) {
        for (std::int64_t r = 0; r < x.rows; ++r) {
            float* const to = x.high + r * V::width;
            for (std::int64_t v = 0; v < x.vectors; ++v) {
                V::store(to, V::max(V::load(to), V::load(x.c + r * x.ldc + v * V::width)));
            }
        }
    }

    /// `tall` x `wide` tiles of C from a row and a vector on.
    template<int stride, bool update, int tall, int wide>
    static void block(const product<bf16_tiles>& x, std::int64_t row, std::int64_t vector) {
        constexpr std::int64_t a_bytes = std::int64_t{stride} * sizeof(unit);
        constexpr std::int64_t b_bytes = std::int64_t{V::panel_vectors} * V::width * sizeof(unit);
        const std::int64_t c_bytes = x.ldc * static_cast<std::int64_t>(sizeof(float));
        const unit* a = x.a + row * stride;
        const unit* b = x.b + vector / V::panel_vectors * x.panel_units;
        float* const c = x.c + row * x.ldc + vector * V::width;
        float* const low = c + edge * x.ldc;
        if constexpr (update) {
            Tiles::template load<0>(c, c_bytes);
            if constexpr (wide == 2) {
                Tiles::template load<1>(c + edge, c_bytes);
            }
            if constexpr (tall == 2) {
                Tiles::template load<2>(low, c_bytes);
            }
            if constexpr (tall == 2 && wide == 2) {
                Tiles::template load<3>(low + edge, c_bytes);
            }
        } else {
            Tiles::template zero<0>();
            if constexpr (wide == 2) {
                Tiles::template zero<1>();
            }
            if constexpr (tall == 2) {
                Tiles::template zero<2>();
            }
            if constexpr (tall == 2 && wide == 2) {
                Tiles::template zero<3>();
            }
        }
        for (std::int64_t i = 0; i < x.k; i += edge) {
            Tiles::template load<6>(b, b_bytes);
            Tiles::template load<4>(a, a_bytes);
            Tiles::template multiply_add<0, 4, 6>();
            if constexpr (wide == 2) {
                Tiles::template load<7>(b + V::width, b_bytes);
                Tiles::template multiply_add<1, 4, 7>();
            }
            if constexpr (tall == 2) {
                Tiles::template load<5>(a + edge * stride, a_bytes);
                Tiles::template multiply_add<2, 5, 6>();
            }
            if constexpr (tall == 2 && wide == 2) {
                Tiles::template multiply_add<3, 5, 7>();
            }
            a += edge;
            b += edge * V::panel_vectors * V::width;
        }
        Tiles::template store<0>(c, c_bytes);
        if constexpr (wide == 2) {
            Tiles::template store<1>(c + edge, c_bytes);
        }
        if constexpr (tall == 2) {
            Tiles::template store<2>(low, c_bytes);
        }
        if constexpr (tall == 2 && wide == 2) {
            Tiles::template store<3>(low + edge, c_bytes);
        }
    }
};

} // namespace
} // namespace cqsa::cpu
