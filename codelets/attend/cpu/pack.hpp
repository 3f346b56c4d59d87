// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/attend/cpu/kernel.hpp"

#include <cstddef>
#include <cstdint>

namespace cqsa::cpu {
namespace {

constexpr std::int64_t smaller(std::int64_t a, std::int64_t b) {
    return a < b ? a : b;
}
constexpr std::int64_t larger(std::int64_t a, std::int64_t b) {
    return a < b ? b : a;
}
constexpr std::int64_t round_up(std::int64_t n, std::int64_t multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

/// How the keys and values of one head of a block lie after packing, in units (see engine.hpp).
/// Keys: panels of `panel` tokens, each [key_units][panel], the transpose. Values: panels of
/// `panel` columns, each [value_units][panel]. What pads tokens and elements is zero.
template<class E>
struct packed_layout {
    static constexpr std::int64_t panel = E::V::panel_vectors * E::V::width;
    std::int64_t key_units;   ///< units of one token's key
    std::int64_t value_units; ///< units of one column's values
    std::int64_t token_panels;
    std::int64_t column_panels;

    packed_layout(std::int64_t tokens, std::int64_t head_dim)
        : key_units(round_up((head_dim + E::pair - 1) / E::pair, E::depth)),
          value_units(round_up(tokens, round_up(panel, E::pair * E::depth)) / E::pair),
          token_panels((tokens + panel - 1) / panel),
          column_panels((head_dim + panel - 1) / panel) {}

    [[nodiscard]] std::int64_t key_panel(std::int64_t i) const { return i * key_units * panel; }
    [[nodiscard]] std::int64_t value_panel(std::int64_t i) const {
        return key_panel(token_panels) + i * value_units * panel;
    }
    [[nodiscard]] std::int64_t units() const { return value_panel(column_panels); }
};

template<class E>
std::size_t packed_bytes(std::int64_t tokens, std::int64_t head_dim) {
    const auto units = static_cast<std::size_t>(packed_layout<E>(tokens, head_dim).units());
    return (units * sizeof(typename E::unit) + 63) / 64 * 64;
}

/// One token's row as units, filled up with zeros; tokens past the end are zero.
template<class E>
void widen_row(const void* data, std::int64_t stride, std::int64_t token, bool exists,
               std::int64_t head_dim, std::int64_t units, typename E::unit* out) {
    const std::int64_t whole = exists ? head_dim / E::pair : 0;
    for (std::int64_t i = whole; i < units; ++i) {
        out[i] = {};
    }
    if (exists) {
        E::widen(static_cast<const typename E::element*>(data) + token * stride, head_dim, out);
    }
}

template<class E>
void pack_keys(const pack_job& job, std::int64_t first, std::int64_t end) {
    using unit = typename E::unit;
    constexpr std::int64_t panel = packed_layout<E>::panel;
    constexpr std::int64_t most_units = 256;
    const packed_layout<E> layout(job.tokens, job.head_dim);
    // A column of units is read at a time: its rows start in different cache sets.
    alignas(64) unit rows[panel][most_units + 64 / sizeof(unit)];
    for (std::int64_t t = first; t < end; t += panel) {
        for (std::int64_t i = 0; i < panel; ++i) {
            widen_row<E>(job.k, job.k_stride, t + i, t + i < job.tokens, job.head_dim,
                         layout.key_units, rows[i]);
        }
        unit* out = reinterpret_cast<unit*>(job.packed) + layout.key_panel(t / panel);
        for (std::int64_t u = 0; u < layout.key_units; ++u) {
            for (std::int64_t i = 0; i < panel; ++i) {
                out[u * panel + i] = rows[i][u];
            }
        }
    }
}

template<class E>
void pack_values(const pack_job& job, std::int64_t first, std::int64_t end) {
    using unit = typename E::unit;
    constexpr std::int64_t panel = packed_layout<E>::panel;
    const packed_layout<E> layout(job.tokens, job.head_dim);
    const std::int64_t columns = layout.column_panels * panel;
    constexpr std::int64_t most_columns = 256 + panel;
    alignas(64) unit rows[E::pair][most_columns];
    unit* out = reinterpret_cast<unit*>(job.packed);
    for (std::int64_t t = first; t < end; t += E::pair) {
        for (int i = 0; i < E::pair; ++i) {
            widen_row<E>(job.v, job.v_stride, t + i, t + i < job.tokens, job.head_dim,
                         (columns + E::pair - 1) / E::pair, rows[i]);
        }
        for (std::int64_t c = 0; c < layout.column_panels; ++c) {
            unit* to = out + layout.value_panel(c) + t / E::pair * panel;
            for (std::int64_t i = 0; i < panel; ++i) {
                if constexpr (E::pair == 1) {
                    to[i] = rows[0][c * panel + i];
                } else {
                    to[i] = E::joined(rows[0], rows[1], c * panel + i);
                }
            }
        }
    }
}

/// Tokens of a pack_job: enough jobs for many threads.
constexpr std::int64_t pack_tokens = 512;

template<class E>
void pack(const pack_job& job) {
    const std::int64_t tokens = smaller(pack_tokens, job.tokens - job.first);
    const std::int64_t end = job.first + round_up(tokens, packed_layout<E>::panel);
    pack_keys<E>(job, job.first, end);
    const std::int64_t multiple =
        round_up(packed_layout<E>::panel, std::int64_t{E::pair} * E::depth);
    pack_values<E>(job, job.first, job.first + round_up(tokens, multiple));
}

} // namespace
} // namespace cqsa::cpu
