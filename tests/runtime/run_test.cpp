// SPDX-License-Identifier: Apache-2.0
// The rates that a run's tasks show, by which later tasks are placed.
#include "codelets/run.hpp"

#include <gtest/gtest.h>

namespace cqsa::test {
namespace {

constexpr double gpu_rate = 5e14; // as set
constexpr double cpu_rate = 1e12;

class RunRates : public ::testing::Test {
  protected:
    RunRates() {
        run_.cuda_rates.attend_flops_per_second = gpu_rate;
        run_.cpu_rates.attend_flops_per_second = cpu_rate;
    }

    /// One more attend task has ended, at a rate far below those set, or far above.
    void end_slow(bool cuda) { end(cuda, 1); }
    void end_fast(bool cuda) { end(cuda, std::int64_t{1} << 62); }
    [[nodiscard]] double rate(bool cuda) const { return run_.attend_flops_per_second(cuda); }

  private:
    void end(bool cuda, std::int64_t flops) {
        task_arguments task(run_);
        task.worker = cuda ? 1 : 0;
        task.on_cuda = cuda;
        task.flops = flops;
        task.called = std::chrono::steady_clock::now() - std::chrono::seconds(1);
        run_.count(task);
    }

    cqsa::Run run_{problem{}, 1.0};
};

TEST_F(RunRates, OfACpuAreThoseOfItsFirstTask) {
    end_slow(false);
    EXPECT_LT(rate(false), cpu_rate);
    EXPECT_EQ(rate(true), gpu_rate);
}

TEST_F(RunRates, OfAGpuAreThoseOfSeveralTasksAfterTheFirst) {
    for (int i = 0; i < 3; ++i) {
        end_slow(true);
        EXPECT_EQ(rate(true), gpu_rate);
    }
    end_slow(true);
    EXPECT_LT(rate(true), gpu_rate);
    EXPECT_EQ(rate(false), cpu_rate);
}

TEST_F(RunRates, AreTheBestOfTheLatestTasks) {
    end_slow(true);
    for (int i = 0; i < 3; ++i)
        i == 1 ? end_fast(true) : end_slow(true);
    EXPECT_GT(rate(true), gpu_rate);
    for (int i = 0; i < 8; ++i)
        end_slow(true);
    EXPECT_LT(rate(true), gpu_rate);
}

} // namespace
} // namespace cqsa::test
