// SPDX-License-Identifier: Apache-2.0
#include "codelets/attend/hopper/split.hpp"

#include <gtest/gtest.h>

namespace cqsa::cuda::hopper {
namespace {

TEST(Split, WholeWavesAreNotSplit) {
    EXPECT_EQ(split_uniform(264, 100, 132, false).split_units, 0);
}

TEST(Split, ARestIsCutIntoPartsThatFillTheWave) {
    const unit_split s = split_uniform(688, 128, 132, false); // five waves and 28 tiles
    EXPECT_EQ(s.split_units, 28);
    EXPECT_GE(s.parts, 4);
}

TEST(Split, AnAlmostFullWaveOrFewKeysAreLeftAlone) {
    EXPECT_EQ(split_uniform(131, 100, 132, false).parts, 1);
    EXPECT_EQ(split_uniform(100, 1, 132, false).parts, 1);
}

TEST(Split, NoPartIsEmpty) {
    for (std::int64_t tiles = 1; tiles < 300; ++tiles) {
        for (const std::int64_t keys : {1, 2, 3, 10, 1000}) {
            EXPECT_LE(split_uniform(tiles, keys, 132, false).parts, keys);
        }
    }
}

} // namespace
} // namespace cqsa::cuda::hopper
