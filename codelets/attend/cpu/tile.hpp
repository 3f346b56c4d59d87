// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/attend/cpu/engine.hpp"
#include "codelets/attend/cpu/kernel.hpp"
#include "codelets/attend/cpu/pack.hpp"
#include "codelets/attend/cpu/weights.hpp"
#include "codelets/cpu/exponential.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>

namespace cqsa::cpu {
namespace {

/// Attention of some query rows over packed key/value blocks, on engine E: for each run of
/// tile_keys keys and each tile_rows of the rows, scores S = Q·Kᵀ, online softmax in place, then
/// acc += P·V. With two tiles in flight, the scores of the next tile come before P·V of the last.
/// The accumulators of all rows stay in the thread's scratch from begin to end.
template<class E>
class Tile {
    using V = typename E::V;
    using unit = typename E::unit;
    using scalar = typename V::scalar;
    using vec = typename V::vec;
    static constexpr std::int64_t panel = packed_layout<E>::panel;
    static constexpr scalar infinity = std::numeric_limits<scalar>::infinity();
    static constexpr double log2_e = 0x1.71547652b82fep0;

  public:
    static constexpr std::int64_t tile_rows = E::tile_rows;
    static constexpr std::int64_t tile_keys = E::tile_keys;
    /// Units in a row of queries and of weights: rows start in different cache sets.
    static constexpr int query_stride = 256 + 64 / sizeof(unit);
    static constexpr int stride = tile_keys + 64 / sizeof(unit);
    /// Rows of a tile in whole vectors.
    static constexpr std::int64_t tile_lanes = round_up(tile_rows, V::width);
    static_assert(sizeof(unit) == sizeof(scalar), "weights replace scores in place");
    static_assert(E::tiles_in_flight == 1 || tile_rows <= V::row_block, "one block beside weights");

    explicit Tile(const tile_job& job)
        : job_(job), rows_(round_up(job.rows, tile_lanes)), columns_(padded_columns(job.head_dim)),
          units_(round_up((job.head_dim + E::pair - 1) / E::pair, E::depth)),
          q_(reinterpret_cast<unit*>(job.scratch)),
          s_(reinterpret_cast<scalar*>(q_ + rows_ * query_stride)),
          acc_(s_ + E::tiles_in_flight * tile_rows * stride), m_(acc_ + rows_ * columns_),
          l_(m_ + rows_), high_(l_ + rows_), sums_(high_ + tile_rows * V::width),
          shift_(sums_ + tile_rows * panel), rescale_(shift_ + tile_lanes) {}

    static std::size_t scratch_bytes(std::int64_t rows, std::int64_t head_dim) {
        rows = round_up(rows, tile_lanes);
        const std::int64_t of_row = query_stride + padded_columns(head_dim) + 2;
        const std::int64_t scalars = rows * of_row +
                                     tile_rows * (E::tiles_in_flight * stride + V::width + panel) +
                                     2 * tile_lanes;
        return static_cast<std::size_t>(scalars) * sizeof(scalar);
    }

    void begin(bool fresh) {
        const std::int64_t d = job_.head_dim;
        for (std::int64_t r = 0; r < rows_; ++r) {
            const bool exists = r < job_.rows;
            unit* q = q_ + r * query_stride;
            widen_row<E>(job_.q, job_.q_stride, r, exists, d, units_, q);
            if (job_.scale < 0) { // the sign moves to q, so that max s is max q·k
                for (std::int64_t i = 0; i < units_; ++i) {
                    q[i] = E::negated(q[i]);
                }
            }
            const bool stored = exists && !fresh;
            m_[r] = stored ? static_cast<const scalar*>(job_.m)[r] : -infinity;
            l_[r] = stored ? static_cast<const scalar*>(job_.l)[r] : 0;
            const scalar* from = static_cast<const scalar*>(job_.acc) + r * d;
            for (std::int64_t e = 0; e < columns_; ++e) {
                acc_[r * columns_ + e] = stored && e < d ? from[e] : 0;
            }
        }
    }

    void update(const visible_block& block) {
        const packed_layout<E> layout(block.tokens, job_.head_dim);
        const unit* packed = reinterpret_cast<const unit*>(block.packed);
        [[maybe_unused]] const typename E::session session;
        const std::int64_t step = keys_at_a_time();
        scored_tile due;
        for (std::int64_t t = 0; t < block.tokens; t += step) {
            for (std::int64_t r = 0; r < job_.rows; r += tile_rows) {
                const scored_tile next = {.s = due.s == s_ ? s_ + tile_rows * stride : s_,
                                          .t = t,
                                          .keys = smaller(step, block.tokens - t),
                                          .r = r,
                                          .rows = smaller(tile_rows, job_.rows - r),
                                          .diagonal = block.diagonal + r - t};
                if (next.seen() <= 0) {
                    continue;
                }
                // Last the panels that every row sees: their maxima remain.
                scores(layout, packed, next, next.common(), next.seen());
                scores(layout, packed, next, 0, next.common());
                if (due.s != nullptr) {
                    accumulate(layout, packed, due);
                }
                maxima(next);
                if constexpr (E::tiles_in_flight == 2) {
                    due = next;
                } else {
                    accumulate(layout, packed, next);
                }
            }
        }
        if (due.s != nullptr) {
            accumulate(layout, packed, due);
        }
    }

    void end() {
        const std::int64_t d = job_.head_dim;
        for (std::int64_t r = 0; r < job_.rows; ++r) {
            static_cast<scalar*>(job_.m)[r] = m_[r];
            static_cast<scalar*>(job_.l)[r] = l_[r];
            scalar* to = static_cast<scalar*>(job_.acc) + r * d;
            for (std::int64_t e = 0; e < d; ++e) {
                to[e] = acc_[r * columns_ + e];
            }
        }
    }

  private:
    /// As many as a tile takes, or as fit E::tile_bytes with their values.
    [[nodiscard]] std::int64_t keys_at_a_time() const {
        constexpr std::int64_t least = 512;
        const std::int64_t of_key = 2 * units_ * std::int64_t{sizeof(unit)};
        return smaller(tile_keys, larger(1, E::tile_bytes / of_key / least) * least);
    }

    static std::int64_t padded_columns(std::int64_t head_dim) {
        return round_up(head_dim, V::width);
    }

    /// Scores of some rows and keys.
    struct scored_tile {
        scalar* s = nullptr;
        std::int64_t t = 0; ///< first key
        std::int64_t keys = 0;
        std::int64_t r = 0; ///< first row
        std::int64_t rows = 0;
        std::int64_t diagonal = 0; ///< row i sees the keys below diagonal + i

        [[nodiscard]] std::int64_t visible(std::int64_t i) const {
            return larger(0, smaller(keys, diagonal + i));
        }
        [[nodiscard]] std::int64_t seen() const { return visible(rows - 1); }
        /// Keys of the panels that every row sees.
        [[nodiscard]] std::int64_t common() const { return visible(0) / panel * panel; }
    };

    /// The scores of the keys `first … end`, in whole vectors; leaves in `high` the largest.
    /// Meanwhile computes weights that are due.
    void scores(const packed_layout<E>& layout, const unit* packed, const scored_tile& tile,
                std::int64_t first, std::int64_t end) {
        for (std::int64_t i = 0; i < tile.rows; ++i) {
            V::store(high_ + i * V::width, V::broadcast(-infinity));
        }
        E::template multiply<query_stride, false>(
            {.a = q_ + tile.r * query_stride,
             .rows = tile.rows,
             .b = packed + layout.key_panel((tile.t + first) / panel),
             .panel_units = layout.key_panel(1),
             .k = units_,
             .c = tile.s + first,
             .ldc = stride,
             .vectors = vectors_of(end - first),
             .high = high_,
             .meanwhile = &weights_});
    }

    /// Updates m by a tile's scores, leaves in `rescale` what acc is to be multiplied by, and makes
    /// the tile's weights due. `high` holds the largest of the `common` scores.
    void maxima(const scored_tile& tile) {
        for (std::int64_t i = 0; i < tile_lanes; ++i) {
            shift_[i] = i < tile.rows ? row_max(tile, i) : -infinity;
        }
        shift_maxima(m_ + tile.r);
        const auto scale = static_cast<scalar>(absolute_scale() * log2_e);
        weights_ = {tile.s, stride, tile.rows, tile.common(), scale, shift_, sums_};
    }

    /// acc = rescale·acc + P·V and l likewise, for a tile whose weights are due.
    void accumulate(const packed_layout<E>& layout, const unit* packed, const scored_tile& tile) {
        weights_.finish_runs();
        const std::int64_t seen = tile.seen();
        for (std::int64_t i = 0; i < tile.rows; ++i) {
            const scalar sum = weights_.finish_row(i, tile.visible(i), round_up(seen, panel));
            l_[tile.r + i] = l_[tile.r + i] * rescale_[i] + sum;
        }
        const std::int64_t units = round_up((seen + E::pair - 1) / E::pair, E::depth);
        constexpr std::int64_t most = E::sum_keys / E::pair;
        for (std::int64_t first = 0; first < units; first += most) {
            E::template multiply<stride, true>(
                {.a = reinterpret_cast<const unit*>(tile.s) + first,
                 .rows = tile.rows,
                 .b = packed + layout.value_panel(0) + (tile.t / E::pair + first) * panel,
                 .panel_units = layout.value_panel(1) - layout.value_panel(0),
                 .k = smaller(most, units - first),
                 .c = acc_ + tile.r * columns_,
                 .ldc = columns_,
                 .vectors = vectors_of(columns_),
                 .factor = rescale_});
            for (std::int64_t i = 0; i < tile_lanes; ++i) {
                rescale_[i] = 1; // once is enough
            }
        }
    }

    static std::int64_t vectors_of(std::int64_t lanes) { return (lanes + V::width - 1) / V::width; }

    /// The largest of a row's scores, −inf when there are none.
    scalar row_max(const scored_tile& tile, std::int64_t row) const {
        const std::int64_t n = tile.visible(row);
        vec high = V::load(high_ + row * V::width);
        for (std::int64_t i = tile.common(); i < n; i += V::width) {
            const vec s = V::load(tile.s + row * stride + i);
            high = V::max(high, V::select(V::first(n - i), s, V::broadcast(-infinity)));
        }
        return V::reduce_max(high);
    }

    /// m = max(m, scale · shift) row by row; leaves in `shift` what the exponents of 2 subtract,
    /// m·log2 e, and in `rescale` the factor e^{m_old − m}. A row that has seen nothing but −inf
    /// keeps m = −inf and subtracts 0: its weights are 0, or NaN for NaN scores.
    /// Lanes past the tile's rows are of the next tile.
    void shift_maxima(scalar* m) {
        const vec scale = V::broadcast(static_cast<scalar>(absolute_scale()));
        const vec lowest = V::broadcast(-infinity);
        const vec base = V::broadcast(static_cast<scalar>(log2_e));
        for (std::int64_t i = 0; i < tile_rows; i += V::width) {
            const vec old = V::load(m + i);
            const vec high = V::max(old, V::mul(V::load(shift_ + i), scale));
            const vec shift = V::select(V::equal(high, lowest), V::zero(), V::mul(high, base));
            const vec exponent = V::sub(V::mul(old, base), shift);
            V::store(m + i, V::select(V::first(tile_rows - i), high, old));
            V::store(shift_ + i, shift);
            V::store(rescale_ + i, exponential<V, accuracy::exact>(exponent));
        }
    }

    [[nodiscard]] double absolute_scale() const {
        return job_.scale < 0 ? -job_.scale : job_.scale;
    }

    const tile_job& job_;
    std::int64_t rows_, columns_, units_;
    unit* q_;
    scalar* s_;
    scalar* acc_;
    scalar* m_;
    scalar* l_;
    scalar* high_; ///< a vector for each row of a tile
    scalar* sums_; ///< a panel for each row of a tile
    scalar* shift_;
    scalar* rescale_;
    Weights<E> weights_; ///< due
};

/// The table of an engine's functions.
template<class E>
constexpr attend_kernel kernel_of() {
    attend_kernel kernel;
    kernel.pack_tokens = pack_tokens;
    kernel.packed_bytes = packed_bytes<E>;
    kernel.scratch_bytes = Tile<E>::scratch_bytes;
    kernel.pack = pack<E>;
    kernel.begin = [](const tile_job& job, bool fresh) { Tile<E>(job).begin(fresh); };
    kernel.update = [](const tile_job& job, const visible_block& block) {
        Tile<E>(job).update(block);
    };
    kernel.end = [](const tile_job& job) { Tile<E>(job).end(); };
    return kernel;
}

} // namespace
} // namespace cqsa::cpu
