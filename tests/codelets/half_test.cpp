// SPDX-License-Identifier: Apache-2.0
#include "codelets/half.hpp"

#include <cmath>
#include <cstdint>
#include <gtest/gtest.h>
#include <limits>

namespace cqsa {
namespace {

/// The value of 16 bits by the definition of the format.
double value_of(std::uint16_t bits, int exponent_bits) {
    const int fraction_bits = 15 - exponent_bits;
    const int bias = (1 << (exponent_bits - 1)) - 1;
    const int exponent = bits >> fraction_bits & ((1 << exponent_bits) - 1);
    const double fraction = bits & ((1 << fraction_bits) - 1);
    const double sign = (bits & 0x8000) != 0 ? -1 : 1;
    if (exponent == (1 << exponent_bits) - 1) {
        return fraction == 0 ? sign * std::numeric_limits<double>::infinity()
                             : std::numeric_limits<double>::quiet_NaN();
    }
    return exponent == 0
               ? sign * std::ldexp(fraction, 1 - bias - fraction_bits)
               : sign * std::ldexp(1 + std::ldexp(fraction, -fraction_bits), exponent - bias);
}

struct half_format {
    using type = half;
    static constexpr int exponent_bits = 5;
    static type round(float x) { return to_half(x); }
};
struct bfloat16_format {
    using type = bfloat16;
    static constexpr int exponent_bits = 8;
    static type round(float x) { return to_bfloat16(x); }
};

template<class Format>
class SixteenBit : public ::testing::Test {};
using formats = ::testing::Types<half_format, bfloat16_format>;
TYPED_TEST_SUITE(SixteenBit, formats);

TYPED_TEST(SixteenBit, EveryValueWidensExactlyAndComesBack) {
    for (int bits = 0; bits < 0x10000; ++bits) {
        const typename TypeParam::type x{static_cast<std::uint16_t>(bits)};
        const double expected = value_of(x.bits, TypeParam::exponent_bits);

        const float wide = to_float(x);

        if (std::isnan(expected)) {
            EXPECT_TRUE(std::isnan(wide)) << bits;
            EXPECT_TRUE(std::isnan(to_float(TypeParam::round(wide)))) << bits;
        } else {
            ASSERT_EQ(static_cast<double>(wide), expected) << bits;
            ASSERT_EQ(std::signbit(wide), std::signbit(expected)) << bits;
            ASSERT_EQ(TypeParam::round(wide).bits, bits);
        }
    }
}

TYPED_TEST(SixteenBit, RoundsToNearestEvenBetweenNeighbours) {
    const int infinite = ((1 << TypeParam::exponent_bits) - 1) << (15 - TypeParam::exponent_bits);
    for (int bits = 0; bits + 1 < infinite; ++bits) {
        const float low = to_float(typename TypeParam::type{static_cast<std::uint16_t>(bits)});
        const float high = to_float(typename TypeParam::type{static_cast<std::uint16_t>(bits + 1)});
        const float middle = low + (high - low) / 2;

        ASSERT_EQ(TypeParam::round(middle).bits, bits + (bits & 1)) << bits;
        ASSERT_EQ(TypeParam::round(std::nextafter(middle, low)).bits, bits) << bits;
        ASSERT_EQ(TypeParam::round(std::nextafter(middle, high)).bits, bits + 1) << bits;
        ASSERT_EQ(TypeParam::round(-middle).bits, 0x8000 | (bits + (bits & 1))) << bits;
    }
}

TYPED_TEST(SixteenBit, OverflowGivesInfinityFromHalfwayPastTheLargest) {
    const int infinite = ((1 << TypeParam::exponent_bits) - 1) << (15 - TypeParam::exponent_bits);
    const float largest =
        to_float(typename TypeParam::type{static_cast<std::uint16_t>(infinite - 1)});
    const float before =
        to_float(typename TypeParam::type{static_cast<std::uint16_t>(infinite - 2)});
    const float halfway = largest + (largest - before) / 2;

    EXPECT_EQ(TypeParam::round(halfway).bits, infinite);
    EXPECT_EQ(TypeParam::round(std::nextafter(halfway, 0.0F)).bits, infinite - 1);
    EXPECT_EQ(TypeParam::round(-std::numeric_limits<float>::infinity()).bits, 0x8000 | infinite);
}

TEST(SixteenBit, NanIsQuietedNotTurnedIntoInfinity) {
    const auto signalling = std::bit_cast<float>(0x7f800001U);

    EXPECT_EQ(to_half(signalling).bits, 0x7e00);
    EXPECT_EQ(to_bfloat16(signalling).bits, 0x7fc0);
}

} // namespace
} // namespace cqsa
