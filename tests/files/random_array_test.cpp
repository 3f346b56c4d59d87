// SPDX-License-Identifier: Apache-2.0
#include "runtime/files/random_array.hpp"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <vector>

namespace cqsa::files {
namespace {

std::vector<float> normals(std::int64_t count, std::uint64_t seed = 0, std::uint64_t stream = 0) {
    std::vector<float> out(static_cast<std::size_t>(count));
    fill_normal(out.data(), data_type::f32, count, seed, stream);
    return out;
}

// The known answers of Philox4x32-10 that its authors publish (Random123, kat_vectors), through
// Box-Muller in double.
TEST(random_array, known_answers) {
    struct answer {
        std::uint64_t seed, stream, counter;
        std::array<std::uint32_t, 4> words;
    };
    const answer zero{0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}};
    const std::vector<float> made = normals(4, zero.seed, zero.stream);
    for (std::size_t pair = 0; pair < 4; pair += 2) {
        const double u = std::ldexp(static_cast<double>(zero.words[pair] >> 1U | 1U), -31);
        const double radius = std::sqrt(-2 * std::log(u));
        const double angle = 2 * std::numbers::pi * std::ldexp(zero.words[pair + 1], -32);
        // One rounding of each of radius, sine and product, and 1 ulp of each polynomial.
        EXPECT_NEAR(made[pair], radius * std::cos(angle), 4e-7 * radius);
        EXPECT_NEAR(made[pair + 1], radius * std::sin(angle), 4e-7 * radius);
    }
}

TEST(random_array, any_element_is_the_same_in_a_longer_array) {
    const std::vector<float> all = normals(10'000, 7, 1);
    for (const std::int64_t count : {1, 2, 3, 5, 1023, 1024, 1025, 9999})
        EXPECT_EQ(
            normals(count, 7, 1),
            std::vector<float>(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count)));
}

TEST(random_array, seeds_and_streams_differ) {
    EXPECT_NE(normals(4, 0, 0), normals(4, 1, 0));
    EXPECT_NE(normals(4, 0, 0), normals(4, 0, 1));
    EXPECT_NE(normals(4, 0, 0), normals(4, std::uint64_t{1} << 32U, 0));
    EXPECT_NE(normals(4, 0, 0), normals(4, 0, std::uint64_t{1} << 32U));
}

TEST(random_array, moments_and_tails_are_normal) {
    const std::int64_t count = 1 << 22;
    double sum = 0;
    double squares = 0;
    double fourths = 0;
    double neighbours = 0;
    std::array<std::int64_t, 5> beyond{};
    const std::vector<float> made = normals(count, 42);
    for (std::size_t i = 0; i < made.size(); ++i) {
        const double x = made[i];
        sum += x;
        squares += x * x;
        fourths += x * x * x * x;
        if (i > 0) neighbours += x * made[i - 1];
        for (std::size_t s = 1; s < beyond.size(); ++s)
            if (std::abs(x) > static_cast<double>(s)) ++beyond[s];
    }
    // Six standard deviations of each estimate.
    const auto n = static_cast<double>(count);
    EXPECT_NEAR(sum / n, 0, 6 / std::sqrt(n));
    EXPECT_NEAR(squares / n, 1, 6 * std::sqrt(2 / n));
    EXPECT_NEAR(fourths / n, 3, 6 * std::sqrt(96 / n));
    EXPECT_NEAR(neighbours / n, 0, 6 / std::sqrt(n));
    for (std::size_t s = 1; s < beyond.size(); ++s) {
        const double p = std::erfc(static_cast<double>(s) / std::numbers::sqrt2);
        EXPECT_NEAR(static_cast<double>(beyond[s]) / n, p, 6 * std::sqrt(p * (1 - p) / n)) << s;
    }
}

/// Nearest value with `bits` significant bits and no exponent below `lowest`, ties to even.
double rounded(double x, int bits, int lowest) {
    if (x == 0) return x;
    int exponent = 0;
    std::frexp(x, &exponent);
    const int unit = std::max(exponent - bits, lowest);
    return std::ldexp(std::nearbyint(std::ldexp(x, -unit)), unit);
}

double value_of_half(std::uint16_t bits) {
    const int exponent = bits >> 10U & 0x1fU;
    const int fraction = bits & 0x3ffU;
    const double magnitude =
        exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(fraction + 1024, exponent - 25);
    return (bits & 0x8000U) != 0 ? -magnitude : magnitude;
}

TEST(random_array, every_type_holds_the_same_numbers_rounded) {
    const std::int64_t count = 1 << 20;
    const auto size = static_cast<std::size_t>(count);
    const std::vector<float> exact = normals(count, 3);
    std::vector<double> f64(size);
    std::vector<std::uint16_t> f16(size);
    std::vector<std::uint16_t> bf16(size);

    fill_normal(f64.data(), data_type::f64, count, 3, 0);
    fill_normal(f16.data(), data_type::f16, count, 3, 0);
    fill_normal(bf16.data(), data_type::bf16, count, 3, 0);

    std::int64_t subnormals = 0;
    for (std::size_t i = 0; i < size; ++i) {
        ASSERT_EQ(f64[i], static_cast<double>(exact[i]));
        ASSERT_EQ(value_of_half(f16[i]), rounded(exact[i], 11, -24)) << exact[i];
        ASSERT_EQ(std::bit_cast<float>(static_cast<std::uint32_t>(bf16[i]) << 16U),
                  rounded(exact[i], 8, -133))
            << exact[i];
        if ((f16[i] & 0x7c00U) == 0) ++subnormals;
    }
    EXPECT_GT(subnormals, 0); // the rounding of small numbers was tried too
}

} // namespace
} // namespace cqsa::files
