// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/attend/cpu/engine.hpp"
#include "codelets/attend/cpu/kernel.hpp"
#include "codelets/attend/cpu/pack.hpp"
#include "codelets/cpu/exponential.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>

namespace cqsa::cpu {
namespace {

/// Attention of some query rows over packed key/value blocks, on engine E: for each run of
/// tile_keys keys and each tile_rows of the rows, scores S = Q·Kᵀ, online softmax in place, then
/// acc += P·V. The accumulators of all rows stay in the thread's scratch from begin to end.
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
    static_assert(sizeof(unit) == sizeof(scalar), "weights replace scores in place");
    static_assert(tile_rows % V::width == 0);

    explicit Tile(const tile_job& job)
        : job_(job), rows_(round_up(job.rows, tile_rows)), columns_(padded_columns(job.head_dim)),
          units_(round_up((job.head_dim + E::pair - 1) / E::pair, E::depth)),
          q_(reinterpret_cast<unit*>(job.scratch)),
          s_(reinterpret_cast<scalar*>(q_ + rows_ * query_stride)), acc_(s_ + tile_rows * stride),
          m_(acc_ + rows_ * columns_), l_(m_ + rows_), high_(l_ + rows_),
          shift_(high_ + tile_rows * V::width), rescale_(shift_ + tile_rows) {}

    static std::size_t scratch_bytes(std::int64_t rows, std::int64_t head_dim) {
        rows = round_up(rows, tile_rows);
        const std::int64_t of_row = query_stride + padded_columns(head_dim) + 2;
        const std::int64_t scalars = rows * of_row + tile_rows * (stride + V::width + 2);
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
        for (std::int64_t t = 0; t < block.tokens; t += tile_keys) {
            const std::int64_t keys = smaller(tile_keys, block.tokens - t);
            for (std::int64_t r = 0; r < job_.rows; r += tile_rows) {
                const std::int64_t rows = smaller(tile_rows, job_.rows - r);
                const std::int64_t diagonal = block.diagonal + r - t;
                const std::int64_t seen = smaller(keys, diagonal + rows - 1);
                if (seen <= 0) {
                    continue;
                }
                // Last the panels that every row sees: their maxima remain.
                const std::int64_t common = larger(0, smaller(keys, diagonal)) / panel * panel;
                scores(layout, packed, t, r, rows, common, seen);
                scores(layout, packed, t, r, rows, 0, common);
                softmax(r, rows, keys, diagonal, common, seen);
                accumulate(layout, packed, t, r, rows, seen);
            }
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
    static std::int64_t padded_columns(std::int64_t head_dim) {
        return round_up(head_dim, V::width);
    }

    /// S[rows][first … end] of the keys from t on, in whole vectors; leaves in `high` the largest.
    void scores(const packed_layout<E>& layout, const unit* packed, std::int64_t t, std::int64_t r,
                std::int64_t rows, std::int64_t first, std::int64_t end) {
        for (std::int64_t i = 0; i < rows; ++i) {
            V::store(high_ + i * V::width, V::broadcast(-infinity));
        }
        E::template multiply<query_stride, false>(
            {.a = q_ + r * query_stride,
             .rows = rows,
             .b = packed + layout.key_panel((t + first) / panel),
             .panel_units = layout.key_panel(1),
             .k = units_,
             .c = s_ + first,
             .ldc = stride,
             .vectors = vectors_of(end - first),
             .high = high_});
    }

    /// acc[rows] = rescale·acc + P·V over the first `seen` keys from t on.
    void accumulate(const packed_layout<E>& layout, const unit* packed, std::int64_t t,
                    std::int64_t r, std::int64_t rows, std::int64_t seen) {
        const std::int64_t k = round_up((seen + E::pair - 1) / E::pair, E::depth);
        E::template multiply<stride, true>(
            {.a = reinterpret_cast<const unit*>(s_),
             .rows = rows,
             .b = packed + layout.value_panel(0) + t / E::pair * panel,
             .panel_units = layout.value_panel(1) - layout.value_panel(0),
             .k = k,
             .c = acc_ + r * columns_,
             .ldc = columns_,
             .vectors = vectors_of(columns_),
             .factor = rescale_});
    }

    static std::int64_t vectors_of(std::int64_t lanes) { return (lanes + V::width - 1) / V::width; }

    /// Scores to weights, in place; updates m and l and leaves in `rescale` what acc is to be
    /// multiplied by. Row i sees the keys below diagonal + i; weights past them are 0. `high` holds
    /// the largest of the first `common` scores.
    void softmax(std::int64_t r, std::int64_t rows, std::int64_t keys, std::int64_t diagonal,
                 std::int64_t common, std::int64_t seen) {
        const auto visible = [&](std::int64_t i) { return larger(0, smaller(keys, diagonal + i)); };
        for (std::int64_t i = 0; i < tile_rows; ++i) {
            shift_[i] = i < rows ? row_max(i, common, visible(i)) : -infinity;
        }
        shift_maxima(m_ + r);
        const std::int64_t end = round_up(seen, panel);
        for (std::int64_t i = 0; i < rows; ++i) {
            const scalar sum = weigh(s_ + i * stride, visible(i), end, shift_[i]);
            l_[r + i] = l_[r + i] * rescale_[i] + sum;
        }
    }

    /// The largest of a row's first n scores, −inf when there are none.
    scalar row_max(std::int64_t row, std::int64_t common, std::int64_t n) const {
        vec high = V::load(high_ + row * V::width);
        for (std::int64_t i = common; i < n; i += V::width) {
            const vec s = V::load(s_ + row * stride + i);
            high = V::max(high, V::select(V::first(n - i), s, V::broadcast(-infinity)));
        }
        return V::reduce_max(high);
    }

    /// m = max(m, scale · shift) row by row; leaves in `shift` what the exponents of 2 subtract,
    /// m·log2 e, and in `rescale` the factor e^{m_old − m}. A row that has seen nothing but −inf
    /// keeps m = −inf and subtracts 0: its weights are 0, or NaN for NaN scores.
    void shift_maxima(scalar* m) {
        const vec scale = V::broadcast(static_cast<scalar>(absolute_scale()));
        const vec lowest = V::broadcast(-infinity);
        const vec base = V::broadcast(static_cast<scalar>(log2_e));
        for (std::int64_t i = 0; i < tile_rows; i += V::width) {
            const vec old = V::load(m + i);
            const vec high = V::max(old, V::mul(V::load(shift_ + i), scale));
            const vec shift = V::select(V::equal(high, lowest), V::zero(), V::mul(high, base));
            const vec exponent = V::sub(V::mul(old, base), shift);
            V::store(m + i, high);
            V::store(shift_ + i, shift);
            V::store(rescale_ + i, exponential<V, accuracy::exact>(exponent));
        }
    }

    /// Replaces scores by weights 2^{scale·log2 e·s − shift} of the first n keys and by 0 up to
    /// `end`; returns the weights' sum, before they are rounded to units.
    scalar weigh(scalar* s, std::int64_t n, std::int64_t end, scalar shift) const {
        const vec scale = V::broadcast(static_cast<scalar>(absolute_scale() * log2_e));
        const vec low = V::broadcast(-shift);
        const auto weight = [&](std::int64_t at) {
            return exponential<V, E::weights>(V::fused(V::load(s + at), scale, low));
        };
        unit* out = reinterpret_cast<unit*>(s);
        vec sum[2] = {V::zero(), V::zero()};
        std::int64_t i = 0;
        for (; i + panel <= n; i += panel) {
            const vec a = weight(i);
            const vec b = weight(i + V::width);
            sum[0] = V::add(sum[0], a);
            sum[1] = V::add(sum[1], b);
            E::store_weights(out + i / E::pair, a, b);
        }
        for (; i < end; i += panel) {
            const vec a = V::select(V::first(larger(0, n - i)), weight(i), V::zero());
            const vec b =
                V::select(V::first(larger(0, n - i - V::width)), weight(i + V::width), V::zero());
            sum[0] = V::add(sum[0], a);
            sum[1] = V::add(sum[1], b);
            E::store_weights(out + i / E::pair, a, b);
        }
        return V::reduce_add(V::add(sum[0], sum[1]));
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
    scalar* shift_;
    scalar* rescale_;
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
