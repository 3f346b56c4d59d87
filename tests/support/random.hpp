// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

namespace cqsa::test {

/// 64 random bits that depend on seed and index alone (Steele, Lea and Flood, SplitMix64, 2014).
constexpr std::uint64_t random_bits(std::uint64_t seed, std::uint64_t index) {
    std::uint64_t z = (seed + 1) * 0x9e3779b97f4a7c15U + index * 0xd1b54a32d192ed03U;
    for (int round = 0; round < 2; ++round) {
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
        z ^= z >> 31;
    }
    return z;
}

/// Uniform in (0, 1).
constexpr double uniform(std::uint64_t seed, std::uint64_t index) {
    return (static_cast<double>(random_bits(seed, index) >> 11) + 0.5) * 0x1p-53;
}

/// Normal with mean 0 and variance 1 (Box and Muller), a function of seed and index alone.
inline double normal(std::uint64_t seed, std::uint64_t index) {
    return std::sqrt(-2 * std::log(uniform(seed, 2 * index))) *
           std::cos(2 * std::numbers::pi * uniform(seed, 2 * index + 1));
}

} // namespace cqsa::test
