// SPDX-License-Identifier: Apache-2.0
#include "codelets/finalize/narrow.hpp"

#include <bit>
#include <cmath>
#include <cstdint>
#include <gtest/gtest.h>
#include <vector>

namespace cqsa {
namespace {

/// Floats around every 16-bit pattern of either type, NaN and infinities included.
std::vector<float> interesting_floats() {
    std::vector<float> x;
    x.reserve(6 * 0x10000 + 5);
    for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
        for (const std::uint32_t low : {0U, 0x7fffU, 0x8000U, 0x8001U}) {
            x.push_back(std::bit_cast<float>(bits << 16 | low));
        }
        const float wide = to_float(half{static_cast<std::uint16_t>(bits)});
        x.push_back(wide);
        x.push_back(wide + std::ldexp(wide, -11)); // halfway to a neighbour
    }
    x.resize(x.size() + 5, 1.5F); // a tail of five
    return x;
}

TEST(Narrow, Avx2EqualsThePortableKernelBitForBit) {
    if (best_isa() < cpu_isa::avx2) {
        GTEST_SKIP() << "no AVX2 here";
    }
    const std::vector<float> in = interesting_floats();
    const auto n = static_cast<std::int64_t>(in.size());
    for (const float factor : {1.0F, 0.3F}) {
        std::vector<half> halves(in.size());
        std::vector<half> expected_halves(in.size());
        std::vector<bfloat16> bfloats(in.size());
        std::vector<bfloat16> expected_bfloats(in.size());

        cpu::narrow_of(cpu_isa::avx2).to_half(in.data(), factor, n, halves.data());
        cpu::portable_narrow().to_half(in.data(), factor, n, expected_halves.data());
        cpu::narrow_of(cpu_isa::avx2).to_bfloat16(in.data(), factor, n, bfloats.data());
        cpu::portable_narrow().to_bfloat16(in.data(), factor, n, expected_bfloats.data());

        for (std::int64_t i = 0; i < n; ++i) {
            ASSERT_EQ(halves[i].bits, expected_halves[i].bits) << in[i] << " times " << factor;
            ASSERT_EQ(bfloats[i].bits, expected_bfloats[i].bits) << in[i] << " times " << factor;
        }
    }
}

} // namespace
} // namespace cqsa
