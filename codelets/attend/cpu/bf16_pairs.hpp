// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/attend/cpu/register_blocks.hpp"
#include "codelets/cpu/exponential.hpp"
#include "codelets/cpu/simd_avx512.hpp"

#include <cstdint>
#include <cstring>
#include <immintrin.h>

namespace cqsa::cpu {
namespace {

/// The engine (see engine.hpp) of AVX512_BF16: a unit is a pair of bf16, products are exact and
/// summed in binary32.
struct bf16_pairs {
    using V = avx512_f32;
    using element = bfloat16;
    using unit = std::uint32_t;
    static constexpr int pair = 2;
    static constexpr int depth = 1;
    static constexpr std::int64_t tile_rows = 8;
    static constexpr std::int64_t tile_keys = 2048;
    static constexpr std::int64_t sum_keys = tile_keys;
    static constexpr std::int64_t tile_bytes = std::int64_t{512} << 10; ///< half of a near cache
    static constexpr int tiles_in_flight = 2;

    struct session {};
    template<int stride, bool update>
    static void multiply(const product<bf16_pairs>& x) {
        multiply_in_registers<bf16_pairs, stride, update>(x);
    }

    static void widen(const element* in, std::int64_t n, unit* out) {
        std::memcpy(out, in, static_cast<std::size_t>(n) * sizeof(element));
    }
    static unit negated(unit x) { return x ^ 0x80008000U; }
    static __m512bh spread(const unit* a) {
        return reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(*a)));
    }
    static __m512bh lanes(const unit* b) {
        return reinterpret_cast<__m512bh>(_mm512_loadu_si512(b));
    }
    static __m512 dot(__m512bh a, __m512bh b, __m512 c) { return _mm512_dpbf16_ps(c, a, b); }
    /// Zen 4 multiplies in the units that products need, and does all else in others.
    static __m512 power_of_2(__m512 x) { return exponential_by_table<V>(x); }
    static void store_weights(unit* out, __m512 a, __m512 b) {
        _mm512_storeu_si512(out, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(b, a)));
    }
    /// Element i of two successive rows.
    static unit joined(const unit* first, const unit* second, std::int64_t i) {
        std::uint16_t low = 0;
        std::uint16_t high = 0;
        std::memcpy(&low, reinterpret_cast<const char*>(first) + 2 * i, 2);
        std::memcpy(&high, reinterpret_cast<const char*>(second) + 2 * i, 2);
        return unit{high} << 16 | low;
    }
};

} // namespace
} // namespace cqsa::cpu
