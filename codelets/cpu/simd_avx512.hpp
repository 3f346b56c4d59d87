// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/half.hpp"

#include <cstdint>
#include <cstring>
#include <immintrin.h>

namespace cqsa::cpu {
namespace {

/// The simd type (see simd_portable.hpp) of AVX-512: 64-byte vectors, 32 registers.
struct avx512_f32 {
    using scalar = float;
    using vec = __m512;
    using mask = __mmask16;
    static constexpr int width = 16;
    static constexpr int row_block = 14;
    static constexpr int panel_vectors = 2;

    static vec zero() { return _mm512_setzero_ps(); }
    static vec broadcast(scalar x) { return _mm512_set1_ps(x); }
    static vec load(const scalar* p) { return _mm512_loadu_ps(p); }
    static void store(scalar* p, vec x) { _mm512_storeu_ps(p, x); }
    static vec fma(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
    static vec fused(vec a, vec b, vec c) { return fma(a, b, c); }
    static vec add(vec a, vec b) { return _mm512_add_ps(a, b); }
    static vec sub(vec a, vec b) { return _mm512_sub_ps(a, b); }
    static vec mul(vec a, vec b) { return _mm512_mul_ps(a, b); }
    static vec max(vec a, vec b) { return _mm512_max_ps(a, b); }
    static mask first(std::int64_t lanes) {
        return static_cast<mask>(lanes >= width ? 0xffffU : (1U << lanes) - 1U);
    }
    static mask not_less(vec a, vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_NLT_UQ); }
    static mask equal(vec a, vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
    static vec select(mask m, vec a, vec b) { return _mm512_mask_blend_ps(m, b, a); }
    struct rounded {
        vec whole;
    };
    static rounded round(vec x) { return {_mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT)}; }
    static vec scale(mask keep, vec x, const rounded& n) {
        return _mm512_maskz_scalef_ps(keep, x, n.whole);
    }
    static vec scale(vec x, vec n) { return _mm512_scalef_ps(x, n); }
    /// 2^(i/16), i the lowest four bits of each lane.
    static vec sixteenth_power(vec bits) {
        const vec table = _mm512_setr_ps(
            1, 0x1.0b5586p+0F, 0x1.172b84p+0F, 0x1.2387a6p+0F, 0x1.306fe0p+0F, 0x1.3dea64p+0F,
            0x1.4bfdaep+0F, 0x1.5ab07ep+0F, 0x1.6a09e6p+0F, 0x1.7a1148p+0F, 0x1.8ace54p+0F,
            0x1.9c4918p+0F, 0x1.ae89fap+0F, 0x1.c199bep+0F, 0x1.d5818ep+0F, 0x1.ea4afap+0F);
        return _mm512_permutexvar_ps(_mm512_castps_si512(bits), table);
    }
    static scalar reduce_add(vec x) { return _mm512_reduce_add_ps(x); }
    static scalar reduce_max(vec x) { return _mm512_reduce_max_ps(x); }
    static void widen(const scalar* in, std::int64_t n, scalar* out) {
        std::memcpy(out, in, static_cast<std::size_t>(n) * sizeof(scalar));
    }
    static void widen(const half* in, std::int64_t n, scalar* out) {
        for (std::int64_t i = 0; i < n; i += width) {
            const __m256i x = _mm256_maskz_loadu_epi16(first(n - i), in + i);
            _mm512_mask_storeu_ps(out + i, first(n - i), _mm512_cvtph_ps(x));
        }
    }
    static void widen(const bfloat16* in, std::int64_t n, scalar* out) {
        for (std::int64_t i = 0; i < n; i += width) {
            const __m256i x = _mm256_maskz_loadu_epi16(first(n - i), in + i);
            const __m512i wide = _mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16);
            _mm512_mask_storeu_ps(out + i, first(n - i), _mm512_castsi512_ps(wide));
        }
    }
};

struct avx512_f64 {
    using scalar = double;
    using vec = __m512d;
    using mask = __mmask8;
    static constexpr int width = 8;
    static constexpr int row_block = 14;
    static constexpr int panel_vectors = 2;

    static vec zero() { return _mm512_setzero_pd(); }
    static vec broadcast(scalar x) { return _mm512_set1_pd(x); }
    static vec load(const scalar* p) { return _mm512_loadu_pd(p); }
    static void store(scalar* p, vec x) { _mm512_storeu_pd(p, x); }
    static vec fma(vec a, vec b, vec c) { return _mm512_fmadd_pd(a, b, c); }
    static vec fused(vec a, vec b, vec c) { return fma(a, b, c); }
    static vec add(vec a, vec b) { return _mm512_add_pd(a, b); }
    static vec sub(vec a, vec b) { return _mm512_sub_pd(a, b); }
    static vec mul(vec a, vec b) { return _mm512_mul_pd(a, b); }
    static vec max(vec a, vec b) { return _mm512_max_pd(a, b); }
    static mask first(std::int64_t lanes) {
        return static_cast<mask>(lanes >= width ? 0xffU : (1U << lanes) - 1U);
    }
    static mask not_less(vec a, vec b) { return _mm512_cmp_pd_mask(a, b, _CMP_NLT_UQ); }
    static mask equal(vec a, vec b) { return _mm512_cmp_pd_mask(a, b, _CMP_EQ_OQ); }
    static vec select(mask m, vec a, vec b) { return _mm512_mask_blend_pd(m, b, a); }
    struct rounded {
        vec whole;
    };
    static rounded round(vec x) { return {_mm512_roundscale_pd(x, _MM_FROUND_TO_NEAREST_INT)}; }
    static vec scale(mask keep, vec x, const rounded& n) {
        return _mm512_maskz_scalef_pd(keep, x, n.whole);
    }
    static scalar reduce_add(vec x) { return _mm512_reduce_add_pd(x); }
    static scalar reduce_max(vec x) { return _mm512_reduce_max_pd(x); }
    static void widen(const scalar* in, std::int64_t n, scalar* out) {
        std::memcpy(out, in, static_cast<std::size_t>(n) * sizeof(scalar));
    }
};

} // namespace
} // namespace cqsa::cpu
