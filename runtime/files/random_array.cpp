// SPDX-License-Identifier: Apache-2.0
#include "runtime/files/random_array.hpp"

#include "codelets/half.hpp"

#include <Random123/philox.h>
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>

namespace cqsa::files {
namespace {

constexpr std::int64_t block = 1024; // elements made at a time: the arrays below stay in L1

/// ln x for normal x > 0, as Cephes' logf: about 1 ulp, in operations every processor rounds alike.
inline float natural_log(float x) {
    const auto bits = std::bit_cast<std::int32_t>(x);
    constexpr std::int32_t root_half = 0x3f3504f3;
    const std::int32_t exponent = (bits - root_half) >> 23;
    const float y = std::bit_cast<float>(bits - (exponent << 23)) - 1.0F;
    const float z = y * y;
    float p = 7.0376836292E-2F;
    for (const float c : {-1.1514610310E-1F, 1.1676998740E-1F, -1.2420140846E-1F, 1.4249322787E-1F,
                          -1.6668057665E-1F, 2.0000714765E-1F, -2.4999993993E-1F, 3.3333331174E-1F})
        p = p * y + c;
    const auto e = static_cast<float>(exponent);
    return (y + (y * z * p - 0.5F * z + e * -2.12194440E-4F)) + e * 0.693359375F;
}

/// Two words make two independent normals (Box and Muller 1958).
inline void two_normals(std::uint32_t radius_word, std::uint32_t angle_word, float& first,
                        float& second) {
    const auto u = static_cast<float>(static_cast<std::int32_t>(radius_word >> 1U | 1U));
    const float radius = std::sqrt(-2.0F * natural_log(u * 0x1p-31F));

    // The angle is π·word·2^-31, cut to the nearest multiple of π/2 and a rest in [-π/4, π/4).
    const std::uint32_t quadrant = (angle_word + 0x20000000U) >> 30U;
    const auto rest = static_cast<std::int32_t>(angle_word - (quadrant << 30U));
    const float t = static_cast<float>(rest) * 1.4629180793E-9F;
    const float z = t * t;
    const float sine =
        ((-1.9515295891E-4F * z + 8.3321608736E-3F) * z - 1.6666654611E-1F) * z * t + t;
    const float cosine =
        ((2.443315711809948E-5F * z - 1.388731625493765E-3F) * z + 4.166664568298827E-2F) * z * z -
        0.5F * z + 1.0F;
    const float x = (quadrant & 1U) != 0 ? sine : cosine;
    const float y = (quadrant & 1U) != 0 ? cosine : sine;
    first = radius *
            std::bit_cast<float>(std::bit_cast<std::uint32_t>(x) ^ ((quadrant + 1U) & 2U) << 30U);
    second =
        radius * std::bit_cast<float>(std::bit_cast<std::uint32_t>(y) ^ (quadrant & 2U) << 30U);
}

/// Normals of the elements [begin, begin + block); begin is a multiple of block.
void make_block(float* out, std::int64_t begin, std::uint64_t seed, std::uint64_t stream) {
    constexpr std::size_t counters = block / 4;
    std::array<std::array<std::uint32_t, counters>, 4> words;
    const philox4x32_key_t key = {
        {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32U)}};
    for (std::size_t i = 0; i < counters; ++i) {
        const std::uint64_t counter = static_cast<std::uint64_t>(begin) / 4 + i;
        const philox4x32_ctr_t made = philox4x32_R(
            10,
            {{static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32U),
              static_cast<std::uint32_t>(stream), static_cast<std::uint32_t>(stream >> 32U)}},
            key);
        for (std::size_t word = 0; word < 4; ++word)
            words[word][i] = made.v[word];
    }
    std::array<std::array<float, counters>, 4> normals;
    for (const std::size_t pair : {0, 2})
        for (std::size_t i = 0; i < counters; ++i)
            two_normals(words[pair][i], words[pair + 1][i], normals[pair][i], normals[pair + 1][i]);
    for (std::size_t i = 0; i < counters; ++i)
        for (std::size_t word = 0; word < 4; ++word)
            out[4 * i + word] = normals[word][i];
}

void store(void* data, data_type type, std::int64_t begin, const float* from, std::int64_t count) {
    switch (type) {
    case data_type::f16: {
        auto* to = static_cast<half*>(data) + begin;
        for (std::int64_t i = 0; i < count; ++i)
            to[i] = to_half(from[i]);
        break;
    }
    case data_type::bf16: {
        auto* to = static_cast<bfloat16*>(data) + begin;
        for (std::int64_t i = 0; i < count; ++i)
            to[i] = to_bfloat16(from[i]);
        break;
    }
    case data_type::f32:
        std::copy_n(from, count, static_cast<float*>(data) + begin);
        break;
    case data_type::f64:
        std::copy_n(from, count, static_cast<double*>(data) + begin);
        break;
    }
}

} // namespace

void fill_normal(void* data, data_type type, std::int64_t count, std::uint64_t seed,
                 std::uint64_t stream) {
#pragma omp parallel for schedule(static)
    for (std::int64_t begin = 0; begin < count; begin += block) {
        std::array<float, block> normals;
        make_block(normals.data(), begin, seed, stream);
        store(data, type, begin, normals.data(), std::min(block, count - begin));
    }
}

} // namespace cqsa::files
