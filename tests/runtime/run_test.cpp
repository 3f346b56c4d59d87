// SPDX-License-Identifier: Apache-2.0
// The rates that a run's tasks show, and which tasks a worker leaves to others by them.
#include "codelets/run.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>

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

    /// One more attend task has ended; slow: at a rate far below those set.
    void end_slow(bool cuda) { end(cuda, 1); }
    [[nodiscard]] double rate(bool cuda) const { return run_.attend_flops_per_second(cuda); }

    void end(bool cuda, std::int64_t flops) {
        task_arguments task(run_);
        task.worker = cuda ? 1 : 0;
        task.on_cuda = cuda;
        task.flops = flops;
        task.called = std::chrono::steady_clock::now() - std::chrono::seconds(1);
        run_.count(task);
    }

  private:
    cqsa::Run run_{problem{}, 1.0};
};

TEST_F(RunRates, AreThoseOfSeveralTasksAfterTheFirst) {
    for (const bool cuda : {false, true}) {
        const double set = rate(cuda);
        for (int i = 0; i < 3; ++i) {
            end_slow(cuda);
            EXPECT_EQ(rate(cuda), set);
        }
        end_slow(cuda);
        EXPECT_LT(rate(cuda), set);
    }
}

TEST_F(RunRates, AreThoseOfTheLatestTasksTogether) {
    // Where one is noticed late, the next seems to have taken no time.
    constexpr std::int64_t flops = 1'000'000;
    constexpr std::chrono::milliseconds late{2};
    for (int i = 0; i < 9; ++i) {
        if (i % 2 == 1) std::this_thread::sleep_for(late);
        end(true, flops);
    }
    EXPECT_LE(rate(true), 8 * flops / std::chrono::duration<double>(4 * late).count());
    const double before = rate(true);
    for (int i = 0; i < 8; ++i)
        end_slow(true);
    EXPECT_LT(rate(true), before);
}

constexpr int cpu = 0;
constexpr int gpu = 1;
constexpr int other_gpu = 2;

/// A run of 1000 flops on a CPU that takes a second for each and a GPU that takes half a second, or
/// as a test has it.
class RunChoice : public ::testing::Test {
  protected:
    RunChoice() {
        run.cpu_rates.attend_flops_per_second = 1;
        run.cuda_rates.attend_flops_per_second = 2;
        run.gpus = {gpu};
        run.workers_choose = true;
    }

    /// A task of a strip that has so many flops left, this task's among them, and whose states were
    /// last on a GPU, or on none.
    [[nodiscard]] bool takes(int worker, std::int64_t flops, std::int64_t strip_flops = 0,
                             int states_on = -1) {
        task_arguments task(run);
        task.flops = flops;
        task.progress = std::make_shared<strip_progress>();
        task.progress->flops_left = std::max(flops, strip_flops);
        task.progress->gpu = states_on;
        return run.should_take(worker, worker != cpu, task);
    }

    // 25 visible pairs of 40 flops.
    cqsa::Run run{problem{.tokens = 5, .kv_tokens = 5, .head_dim = 10}, 1.0};
};

TEST_F(RunChoice, GivesACpuWhatItHasDoneBeforeTheGpuWouldHave) {
    EXPECT_TRUE(takes(cpu, 500));
    EXPECT_FALSE(takes(cpu, 501));
    EXPECT_TRUE(takes(gpu, 1'000));
    run.cuda_rates.attend_flops_per_second = 1; // no faster
    EXPECT_TRUE(takes(cpu, 1'000));
    EXPECT_TRUE(takes(gpu, 1'000));
}

TEST_F(RunChoice, CountsWhatWaitsForTheTask) {
    EXPECT_TRUE(takes(cpu, 300, 700));
    EXPECT_FALSE(takes(cpu, 300, 701));
}

TEST_F(RunChoice, CountsWhatHasEnded) {
    task_arguments ended(run);
    ended.worker = gpu;
    ended.on_cuda = true;
    ended.flops = 900;
    ended.called = std::chrono::steady_clock::now();
    run.count(ended);
    EXPECT_TRUE(takes(cpu, 50));
    EXPECT_FALSE(takes(cpu, 51));
}

TEST_F(RunChoice, LeavesNothingToACpuThatWouldHoldUpTheGpus) {
    run.cuda_rates.attend_flops_per_second = 3;
    EXPECT_TRUE(takes(cpu, 1));
    run.cuda_rates.attend_flops_per_second = 3.1;
    EXPECT_FALSE(takes(cpu, 1));
}

TEST_F(RunChoice, LeavesStatesOnTheGpuThatHasThem) {
    EXPECT_TRUE(takes(gpu, 1, 1, gpu));
    EXPECT_FALSE(takes(other_gpu, 1, 1, gpu));
    EXPECT_TRUE(takes(other_gpu, 1));
    // What merges and finalizes hardly computes.
    EXPECT_TRUE(takes(gpu, 0, 0, gpu));
    EXPECT_FALSE(takes(cpu, 0, 0, gpu));
    EXPECT_TRUE(takes(cpu, 0));
}

TEST_F(RunChoice, IsNoneWhereStarpusSchedulerPlaces) {
    run.workers_choose = false;
    EXPECT_TRUE(takes(cpu, 1'000));
    EXPECT_TRUE(takes(other_gpu, 1, 1, gpu));
}

TEST_F(RunChoice, NeverLeavesATaskToNobody) {
    run.gpus = {gpu, other_gpu};
    for (const double rate : {0.1, 0.3, 0.5, 0.7, 1.0, 2.0, 5.0}) {
        run.cuda_rates.attend_flops_per_second = rate;
        for (const std::int64_t flops : {0, 1, 250, 500, 1'000}) {
            for (const int states_on : {-1, gpu, other_gpu}) {
                EXPECT_TRUE(takes(cpu, flops, flops, states_on) ||
                            takes(gpu, flops, flops, states_on) ||
                            takes(other_gpu, flops, flops, states_on))
                    << rate << " flop/s, " << flops << " flops, states on " << states_on;
            }
        }
    }
}

} // namespace
} // namespace cqsa::test
