// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/half.hpp"

#include <cstdint>
#include <cstring>
#include <immintrin.h>

namespace cqsa::cpu {
namespace {

/// The simd type (see simd_portable.hpp) of AVX2 and FMA: 32-byte vectors, 16 registers.
struct avx2_f32 {
    using scalar = float;
    using vec = __m256;
    using mask = __m256;
    static constexpr int width = 8;
    static constexpr int row_block = 6;
    static constexpr int panel_vectors = 2;

    static vec zero() { return _mm256_setzero_ps(); }
    static vec broadcast(scalar x) { return _mm256_set1_ps(x); }
    static vec load(const scalar* p) { return _mm256_loadu_ps(p); }
    static void store(scalar* p, vec x) { _mm256_storeu_ps(p, x); }
    static vec fma(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
    static vec fused(vec a, vec b, vec c) { return fma(a, b, c); }
    static vec add(vec a, vec b) { return _mm256_add_ps(a, b); }
    static vec sub(vec a, vec b) { return _mm256_sub_ps(a, b); }
    static vec mul(vec a, vec b) { return _mm256_mul_ps(a, b); }
    static vec max(vec a, vec b) { return _mm256_max_ps(a, b); }
    static mask first(std::int64_t lanes) {
        const __m256i limit = _mm256_set1_epi32(static_cast<int>(lanes));
        const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        return _mm256_castsi256_ps(_mm256_cmpgt_epi32(limit, lane));
    }
    static mask not_less(vec a, vec b) { return _mm256_cmp_ps(a, b, _CMP_NLT_UQ); }
    static mask equal(vec a, vec b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
    static vec select(mask m, vec a, vec b) { return _mm256_blendv_ps(b, a, m); }
    struct rounded {
        vec whole;
        vec biased;
    };
    static rounded round(vec x) {
        const vec magic = broadcast(0x1.8p23F + 127);
        const vec biased = add(x, magic);
        return {sub(biased, magic), biased};
    }
    static vec scale(mask keep, vec x, const rounded& n) {
        const __m256i power = _mm256_slli_epi32(_mm256_castps_si256(n.biased), 23);
        return _mm256_and_ps(_mm256_mul_ps(x, _mm256_castsi256_ps(power)), keep);
    }
    static scalar reduce_add(vec x) {
        __m128 s = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
        s = _mm_add_ps(s, _mm_movehl_ps(s, s));
        return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
    }
    static scalar reduce_max(vec x) {
        __m128 s = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
        s = _mm_max_ps(s, _mm_movehl_ps(s, s));
        return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
    }
    static void widen(const scalar* in, std::int64_t n, scalar* out) {
        std::memcpy(out, in, static_cast<std::size_t>(n) * sizeof(scalar));
    }
    static void widen(const half* in, std::int64_t n, scalar* out) {
        by_eights(in, n, out, [](__m128i x) { return _mm256_cvtph_ps(x); });
    }
    static void widen(const bfloat16* in, std::int64_t n, scalar* out) {
        by_eights(in, n, out, [](__m128i x) {
            return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16));
        });
    }

  private:
    template<class Element, class Convert>
    static void by_eights(const Element* in, std::int64_t n, scalar* out, Convert convert) {
        std::int64_t i = 0;
        for (; i + width <= n; i += width) {
            store(out + i, convert(_mm_loadu_si128(reinterpret_cast<const __m128i*>(in + i))));
        }
        if (i < n) {
            __m128i rest{};
            std::memcpy(&rest, in + i, static_cast<std::size_t>(n - i) * sizeof(Element));
            alignas(32) scalar wide[width];
            store(wide, convert(rest));
            std::memcpy(out + i, wide, static_cast<std::size_t>(n - i) * sizeof(scalar));
        }
    }
};

struct avx2_f64 {
    using scalar = double;
    using vec = __m256d;
    using mask = __m256d;
    static constexpr int width = 4;
    static constexpr int row_block = 6;
    static constexpr int panel_vectors = 2;

    static vec zero() { return _mm256_setzero_pd(); }
    static vec broadcast(scalar x) { return _mm256_set1_pd(x); }
    static vec load(const scalar* p) { return _mm256_loadu_pd(p); }
    static void store(scalar* p, vec x) { _mm256_storeu_pd(p, x); }
    static vec fma(vec a, vec b, vec c) { return _mm256_fmadd_pd(a, b, c); }
    static vec fused(vec a, vec b, vec c) { return fma(a, b, c); }
    static vec add(vec a, vec b) { return _mm256_add_pd(a, b); }
    static vec sub(vec a, vec b) { return _mm256_sub_pd(a, b); }
    static vec mul(vec a, vec b) { return _mm256_mul_pd(a, b); }
    static vec max(vec a, vec b) { return _mm256_max_pd(a, b); }
    static mask first(std::int64_t lanes) {
        return _mm256_castsi256_pd(
            _mm256_cmpgt_epi64(_mm256_set1_epi64x(lanes), _mm256_setr_epi64x(0, 1, 2, 3)));
    }
    static mask not_less(vec a, vec b) { return _mm256_cmp_pd(a, b, _CMP_NLT_UQ); }
    static mask equal(vec a, vec b) { return _mm256_cmp_pd(a, b, _CMP_EQ_OQ); }
    static vec select(mask m, vec a, vec b) { return _mm256_blendv_pd(b, a, m); }
    struct rounded {
        vec whole;
        vec biased;
    };
    static rounded round(vec x) {
        const vec magic = broadcast(0x1.8p52 + 1023);
        const vec biased = add(x, magic);
        return {sub(biased, magic), biased};
    }
    static vec scale(mask keep, vec x, const rounded& n) {
        const __m256i power = _mm256_slli_epi64(_mm256_castpd_si256(n.biased), 52);
        return _mm256_and_pd(_mm256_mul_pd(x, _mm256_castsi256_pd(power)), keep);
    }
    static scalar reduce_add(vec x) {
        const __m128d s = _mm_add_pd(_mm256_castpd256_pd128(x), _mm256_extractf128_pd(x, 1));
        return _mm_cvtsd_f64(_mm_add_sd(s, _mm_unpackhi_pd(s, s)));
    }
    static scalar reduce_max(vec x) {
        const __m128d s = _mm_max_pd(_mm256_castpd256_pd128(x), _mm256_extractf128_pd(x, 1));
        return _mm_cvtsd_f64(_mm_max_sd(s, _mm_unpackhi_pd(s, s)));
    }
    static void widen(const scalar* in, std::int64_t n, scalar* out) {
        std::memcpy(out, in, static_cast<std::size_t>(n) * sizeof(scalar));
    }
};

} // namespace
} // namespace cqsa::cpu
