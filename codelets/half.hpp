// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>

namespace cqsa {

/// IEEE 754 binary16 as its bits.
struct half {
    std::uint16_t bits = 0;
};

/// bfloat16, the upper half of a binary32, as its bits.
struct bfloat16 {
    std::uint16_t bits = 0;
};

/// Exact.
constexpr float to_float(bfloat16 x) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(x.bits) << 16);
}

/// Exact; subnormals, infinities and NaN payloads are kept.
constexpr float to_float(half x) {
    const std::uint32_t sign = static_cast<std::uint32_t>(x.bits & 0x8000U) << 16;
    const std::uint32_t magnitude = x.bits & 0x7fffU;
    if (magnitude >= 0x7c00U) { // infinity or NaN: the widest exponent
        return std::bit_cast<float>(sign | 0x7f800000U | ((magnitude & 0x3ffU) << 13));
    }
    // The magnitude's bits read as a binary32 are the value times 2^-112, subnormals included.
    return std::bit_cast<float>(
        sign | std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude << 13) * 0x1p112F));
}

/// Rounded to nearest, ties to even; overflow gives infinity, a NaN stays a (quiet) NaN. Free of
/// branches, so that loops over it become vector code.
constexpr bfloat16 to_bfloat16(float x) {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    const std::uint32_t rounded = (bits + 0x7fffU + (bits >> 16 & 1U)) >> 16;
    const std::uint32_t quiet = bits >> 16 | 0x40U;
    return {static_cast<std::uint16_t>((bits & 0x7fffffffU) > 0x7f800000U ? quiet : rounded)};
}

/// Rounded to nearest, ties to even, into the subnormals too; overflow gives infinity, a NaN stays
/// a (quiet) NaN. Free of branches, as above.
constexpr half to_half(float x) {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    const std::uint32_t magnitude = bits & 0x7fffffffU;
    // Below 2^-14 the spacing is 2^-24, the spacing of binary32 at 1/2: the addition rounds.
    const std::uint32_t subnormal =
        std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5F) - 0x3f000000U;
    const std::uint32_t normal = (magnitude - 0x38000000U + 0xfffU + (magnitude >> 13 & 1U)) >> 13;
    const std::uint32_t quiet = 0x7e00U | (magnitude >> 13 & 0x3ffU);
    std::uint32_t result = magnitude < 0x38800000U ? subnormal : normal;
    result = magnitude >= 0x477ff000U ? 0x7c00U : result; // 65520 and more round to infinity
    result = magnitude > 0x7f800000U ? quiet : result;
    return {static_cast<std::uint16_t>((bits >> 16 & 0x8000U) | result)};
}

} // namespace cqsa
