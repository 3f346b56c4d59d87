// SPDX-License-Identifier: Apache-2.0
// A GPU's multiprocessors: launches against sums by hand, and against each multiprocessor by
// itself.
#include "planner/multiprocessors.hpp"

#include <algorithm>
#include <functional>
#include <gtest/gtest.h>
#include <queue>
#include <random>
#include <vector>

namespace cqsa::test {
namespace {

TEST(Multiprocessors, WorkALaunchInWaves) {
    Multiprocessors gpu(4);
    EXPECT_DOUBLE_EQ(gpu.run(4, 1, 0), 1);
    EXPECT_DOUBLE_EQ(gpu.run(5, 1, 1), 3);
}

TEST(Multiprocessors, ThatALaunchLeavesTakeUpTheNext) {
    Multiprocessors gpu(4);
    EXPECT_DOUBLE_EQ(gpu.run(6, 1, 0), 2);
    EXPECT_DOUBLE_EQ(gpu.run(6, 1, 0), 3); // two tiles in the second wave, four in the third
}

TEST(Multiprocessors, WithoutWorkWaitForALateLaunch) {
    Multiprocessors gpu(4);
    gpu.run(6, 1, 0); // two are free from 1 on
    EXPECT_DOUBLE_EQ(gpu.run(2, 1, 1.5), 2.5);
    gpu.wait_until(7);
    EXPECT_DOUBLE_EQ(gpu.run(1, 2, 3), 9);
}

TEST(Multiprocessors, WorkManyWavesAsOneByOne) {
    Multiprocessors gpu(3);
    gpu.run(4, 2, 0); // two are free from 2 on, one from 4
    // Two of the tiles begin at 2; the others are a million waves, the last of one tile.
    EXPECT_DOUBLE_EQ(gpu.run(3'000'000, 2, 0), 4 + 2'000'000.0);
    EXPECT_DOUBLE_EQ(gpu.run(2, 2, 0), 4 + 2'000'000.0);
    EXPECT_DOUBLE_EQ(gpu.run(1, 2, 0), 6 + 2'000'000.0);
}

TEST(Multiprocessors, OfLaunchesThatFollowCloselyLoseNothing) {
    Multiprocessors gpu(132);
    double end = 0;
    for (int launch = 0; launch < 100; ++launch)
        end = gpu.run(224, 1e-4, 0);
    EXPECT_NEAR(end, 100 * 224 * 1e-4 / 132, 1e-4);
}

/// Each multiprocessor by itself.
class EachByItself {
  public:
    explicit EachByItself(int count) {
        for (int i = 0; i < count; ++i)
            free_.push(0);
    }

    double run(int tiles, double seconds, double start) {
        double end = start;
        for (int i = 0; i < tiles; ++i) {
            const double done = std::max(start, free_.top()) + seconds;
            free_.pop();
            free_.push(done);
            end = std::max(end, done);
        }
        return end;
    }

  private:
    std::priority_queue<double, std::vector<double>, std::greater<>> free_;
};

// Groups that become one shift an end by no more than a tile.
TEST(Multiprocessors, DoAsEachByItselfDoes) {
    std::mt19937_64 random(5);
    for (int draw = 0; draw < 50; ++draw) {
        const int count = std::uniform_int_distribution<>(1, 150)(random);
        Multiprocessors gpu(count);
        EachByItself each(count);
        double start = 0;
        for (int launch = 0; launch < 60; ++launch) {
            const int tiles = std::uniform_int_distribution<>(1, 400)(random);
            const double seconds = std::uniform_real_distribution<>(0.5, 1)(random);
            start += std::uniform_real_distribution<>(0, 2.0 * tiles / count)(random);
            ASSERT_NEAR(gpu.run(tiles, seconds, start), each.run(tiles, seconds, start), 1);
        }
    }
}

} // namespace
} // namespace cqsa::test
