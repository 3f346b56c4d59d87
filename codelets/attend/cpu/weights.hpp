// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/cpu/exponential.hpp"

#include <cstdint>

namespace cqsa::cpu {
namespace {

/// Scores of one row on their way to weights 2^{scale·s − shift}, a panel of keys after another.
/// Weights overwrite scores that were read before. `sum` grows by the weights before they are
/// rounded to units.
template<class E>
struct weighed_row {
    using V = typename E::V;
    using vec = typename V::vec;
    const typename V::scalar* s;
    typename E::unit* p;
    vec scale;
    vec low; ///< −shift
    vec sum[2];

    /// Of vector i of the panel.
    [[nodiscard]] vec weight(int i) const {
        return E::power_of_2(V::fused(V::load(s + i * V::width), scale, low));
    }
    /// The panel's weights, and on to the next panel.
    void put(vec a, vec b) {
        sum[0] = V::add(sum[0], a);
        sum[1] = V::add(sum[1], b);
        E::store_weights(p, a, b);
        s += 2 * V::width;
        p += 2 * V::width / E::pair;
    }
};

/// The weights of a tile's rows. On an engine with two tiles in flight, a product computes them a
/// *run* of keys of one row at a time, as far as all rows see the keys.
template<class E>
class Weights {
    using V = typename E::V;
    using scalar = typename V::scalar;

  public:
    static constexpr std::int64_t panel = V::panel_vectors * V::width;
    static constexpr int run_panels = 8;
    static constexpr int run_vectors = V::panel_vectors * run_panels;
    static constexpr std::int64_t run_keys = run_panels * panel;

    Weights() = default;
    /// Of scores in rows `stride` apart, of which every row sees the first `common`. `shift` has a
    /// scalar, `sums` a panel for each row.
    Weights(scalar* s, std::int64_t stride, std::int64_t rows, std::int64_t common, scalar scale,
            const scalar* shift, scalar* sums)
        : s_(s), stride_(stride), rows_(rows),
          keys_(E::tiles_in_flight == 2 ? common / run_keys * run_keys : 0), scale_(scale),
          shift_(shift), sums_(sums), row_(keys_ == 0 ? rows : 0) {
        for (std::int64_t i = 0; i < rows * panel; ++i) {
            sums[i] = 0;
        }
    }

    [[nodiscard]] bool more_runs() const { return row_ < rows_; }
    [[nodiscard]] weighed_row<E> begin_run() const { return open(row_, key_); }
    void end_run(const weighed_row<E>& row) {
        V::store(sums_ + row_ * panel, row.sum[0]);
        V::store(sums_ + row_ * panel + V::width, row.sum[1]);
        key_ += run_keys;
        if (key_ == keys_) {
            key_ = 0;
            ++row_;
        }
    }
    /// The runs that no product computed.
    void finish_runs() {
        while (more_runs()) {
            weighed_row<E> row = begin_run();
            for (std::int64_t i = 0; i < run_keys; i += panel) {
                row.put(row.weight(0), row.weight(1));
            }
            end_run(row);
        }
    }
    /// The weights of row i after its runs, of its first n keys and 0 up to `end`; returns the
    /// row's sum.
    [[nodiscard]] scalar finish_row(std::int64_t i, std::int64_t n, std::int64_t end) const {
        weighed_row<E> row = open(i, keys_);
        std::int64_t t = keys_;
        for (; t + panel <= n; t += panel) {
            row.put(row.weight(0), row.weight(1));
        }
        for (; t < end; t += panel) {
            const auto seen = [&](int v) {
                const std::int64_t left = n - t - v * V::width;
                return V::select(V::first(left < 0 ? 0 : left), row.weight(v), V::zero());
            };
            row.put(seen(0), seen(1));
        }
        return V::reduce_add(V::add(row.sum[0], row.sum[1]));
    }

  private:
    /// Row i from a key on.
    [[nodiscard]] weighed_row<E> open(std::int64_t i, std::int64_t key) const {
        scalar* const s = s_ + i * stride_;
        const scalar* const sum = sums_ + i * panel;
        return {.s = s + key,
                .p = reinterpret_cast<typename E::unit*>(s) + key / E::pair,
                .scale = V::broadcast(scale_),
                .low = V::broadcast(-shift_[i]),
                .sum = {V::load(sum), V::load(sum + V::width)}};
    }

    scalar* s_ = nullptr;
    std::int64_t stride_ = 0;
    std::int64_t rows_ = 0;
    std::int64_t keys_ = 0; ///< of a row's runs
    scalar scale_ = 0;
    const scalar* shift_ = nullptr;
    scalar* sums_ = nullptr;
    std::int64_t row_ = 0; ///< next run
    std::int64_t key_ = 0;
};

} // namespace
} // namespace cqsa::cpu
