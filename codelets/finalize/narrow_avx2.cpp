// SPDX-License-Identifier: Apache-2.0
#include "codelets/finalize/narrow.hpp"

#include <cstring>
#include <immintrin.h>

namespace cqsa::cpu {
namespace {

__m128i rounded_to_half(__m256 x) {
    return _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/// As to_bfloat16 in half.hpp, eight at a time.
__m128i rounded_to_bfloat16(__m256 x) {
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i high = _mm256_srli_epi32(bits, 16);
    const __m256i odd = _mm256_and_si256(high, _mm256_set1_epi32(1));
    const __m256i bias = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
    const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(bits, bias), 16);
    const __m256i quiet = _mm256_or_si256(high, _mm256_set1_epi32(0x40));
    const __m256i unordered = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    const __m256i chosen = _mm256_blendv_epi8(rounded, quiet, unordered);
    return _mm_packus_epi32(_mm256_castsi256_si128(chosen), _mm256_extracti128_si256(chosen, 1));
}

template<class Element, class Round>
void by_eights(const float* in, float factor, std::int64_t n, Element* out, Round round) {
    const __m256 by = _mm256_set1_ps(factor);
    std::int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i),
                         round(_mm256_mul_ps(_mm256_loadu_ps(in + i), by)));
    }
    if (i < n) {
        const auto left = static_cast<std::size_t>(n - i);
        alignas(32) float rest[8] = {};
        std::memcpy(rest, in + i, left * sizeof(float));
        const __m128i narrow = round(_mm256_mul_ps(_mm256_load_ps(rest), by));
        std::memcpy(static_cast<void*>(out + i), &narrow, left * sizeof(Element));
    }
}

void avx2_to_half(const float* in, float factor, std::int64_t n, half* out) {
    by_eights(in, factor, n, out, rounded_to_half);
}

void avx2_to_bfloat16(const float* in, float factor, std::int64_t n, bfloat16* out) {
    by_eights(in, factor, n, out, rounded_to_bfloat16);
}

} // namespace

const narrow_kernel& avx2_narrow() {
    static constexpr narrow_kernel kernel{avx2_to_half, avx2_to_bfloat16};
    return kernel;
}

} // namespace cqsa::cpu
