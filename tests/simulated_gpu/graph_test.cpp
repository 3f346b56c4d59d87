// SPDX-License-Identifier: Apache-2.0
// The graph on simulated GPUs: right results, and memory and bytes as predicted, at any budget.
#include "codelets/block_pool.hpp"
#include "runtime/session.hpp"
#include "tests/runtime/attention_case.hpp"
#include "tests/simulated_gpu/simulated_gpu.hpp"

#include <gtest/gtest.h>
#include <starpu.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <ostream>
#include <string>
#include <unistd.h>
#include <vector>

namespace cqsa::test {
namespace {

constexpr std::int64_t mebibyte = std::int64_t{1} << 20;

problem bf16_problem(std::int64_t heads, std::int64_t tokens, mask_rule mask) {
    problem p{.heads = heads, .kv_heads = heads, .tokens = tokens, .kv_tokens = tokens};
    p.type = p.out_type = data_type::bf16;
    p.head_dim = 64;
    p.mask = mask;
    return p;
}

attend_options on_gpus(std::int64_t device_bytes) {
    attend_options options;
    options.workers = worker_set::cuda;
    options.device_bytes = device_bytes;
    return options;
}

attend_report run_in(Session& session, attention_case& x, attend_options options) {
    options.mask = x.size.mask;
    return session.attend(tensor_of(x.q), tensor_of(x.k), tensor_of(x.v), mutable_tensor_of(x.out),
                          mutable_tensor_of(x.lse), options);
}

void expect_exact(const attention_case& x) {
    const attention_values exact = x.exact();
    EXPECT_LE(relative_error(x.out.values(), exact.o), 3e-3);
    EXPECT_LE(max_scaled_error(x.lse.values(), exact.lse), 1e-5);
}

struct budget_case {
    std::string name;
    std::int64_t mebibytes;
    mask_rule mask = mask_rule::causal_top_left;
    std::optional<std::int64_t> chunks{};
    std::optional<task_order> order{};
    std::optional<state_flow> flow{};
};

std::ostream& operator<<(std::ostream& out, const budget_case& tested) {
    return out << tested.name;
}

// Leaves the simulated GPUs as it found them.
class SimulatedGpu : public ::testing::Test {
  protected:
    ~SimulatedGpu() override {
        simulated::current() = before_;
        simulated::take_memory(0, 0);
        unsetenv("CQSA_SIMULATED_GPU");
        unsetenv("STARPU_HOSTNAME");
    }

  private:
    simulated::settings before_ = simulated::current();
};

class Budget : public SimulatedGpu, public ::testing::WithParamInterface<budget_case> {};

TEST_P(Budget, IsKeptExactlyAndTheResultIsExact) {
    const budget_case& budget = GetParam();
    attention_case x(bf16_problem(2, 5'000, budget.mask));
    attend_options options = on_gpus(budget.mebibytes * mebibyte);
    options.chunks = budget.chunks;
    options.order = budget.order;
    options.flow = budget.flow;

    Session session(options);
    simulated::reset_peaks(); // StarPU measures the bus when it starts for the first time
    const attend_report report = run_in(session, x, options);

    expect_exact(x);
    EXPECT_LE(simulated::peak_bytes(0), budget.mebibytes * mebibyte);
    EXPECT_EQ(report.measured.device_bytes, simulated::peak_bytes(0));
    EXPECT_EQ(report.plan.predicted.device_bytes, simulated::peak_bytes(0));
    EXPECT_EQ(report.measured.d2h_bytes, report.plan.predicted.d2h_bytes);
}

INSTANTIATE_TEST_SUITE_P(
    SimulatedGpu, Budget,
    ::testing::Values(budget_case{"everything_resident", 64}, budget_case{"half_resident", 8},
                      budget_case{"tight", 4}, budget_case{"dense", 6, mask_rule::none},
                      budget_case{"undivided", 6, mask_rule::causal_top_left, 1},
                      budget_case{"query_major", 6, mask_rule::causal_top_left, 7,
                                  task_order::query_major},
                      budget_case{"quorum_major", 16, mask_rule::causal_top_left, 7,
                                  task_order::quorum_major, state_flow::continued},
                      budget_case{"quorums_merged", 16, mask_rule::none, 7,
                                  task_order::quorum_major, state_flow::merged}),
    [](const auto& tested) { return tested.param.name; });

TEST_F(SimulatedGpu, RunsPlansOfOneSessionAfterEachOther) {
    attention_case x(bf16_problem(2, 3'000, mask_rule::causal_top_left));
    attention_case y(bf16_problem(3, 2'000, mask_rule::none));
    Session session(on_gpus(12 * mebibyte));
    simulated::reset_peaks();
    for (int round = 0; round < 2; ++round) {
        for (attention_case* one : {&x, &y, &y}) {
            attend_options options;
            options.mask = one->size.mask;
            const attend_report report =
                session.attend(tensor_of(one->q), tensor_of(one->k), tensor_of(one->v),
                               mutable_tensor_of(one->out), mutable_tensor_of(one->lse), options);
            EXPECT_EQ(report.measured.device_bytes, report.plan.predicted.device_bytes);
        }
    }
    expect_exact(x);
    expect_exact(y);
    EXPECT_LE(simulated::peak_bytes(0), 12 * mebibyte);
}

TEST_F(SimulatedGpu, ShrinksThePlanToWhatOthersLeave) {
    simulated::current().memory_bytes = 628 * mebibyte; // 128 beside the context
    attention_case x(bf16_problem(2, 5'000, mask_rule::causal_top_left));
    const attend_options options = on_gpus(64 * mebibyte);
    {
        Session session(options);
        simulated::take_memory(0, 122 * mebibyte);

        const attend_report report = run_in(session, x, options);

        expect_exact(x);
        EXPECT_LE(report.plan.predicted.device_bytes, 6 * mebibyte);
        EXPECT_GT(report.plan.tasks, 1);
    }
    EXPECT_EQ(simulated::used_bytes(0), 0);
}

TEST_F(SimulatedGpu, NeedsNoMemoryOnceItRuns) {
    simulated::current().memory_bytes = 628 * mebibyte;
    attention_case x(bf16_problem(2, 5'000, mask_rule::causal_top_left));
    attend_options options = on_gpus(4 * mebibyte);
    options.on_progress = [](const progress&) { simulated::take_memory(0, 128 * mebibyte); };

    const attend_report report = x.run(options);

    expect_exact(x);
    EXPECT_GT(report.plan.tasks, 1);
}

void expect_does_not_fit(const std::function<void()>& run) {
    try {
        run();
        FAIL() << "no error";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), error_code::does_not_fit) << error.what();
    }
}

TEST_F(SimulatedGpu, RefusesWhatDoesNotFit) {
    simulated::current().memory_bytes = 628 * mebibyte;
    attention_case x(bf16_problem(2, 5'000, mask_rule::causal_top_left));
    const attend_options options = on_gpus(64 * mebibyte);
    Session session(options);
    simulated::take_memory(0, 127 * mebibyte);
    expect_does_not_fit([&] { run_in(session, x, options); });
}

TEST_F(SimulatedGpu, RefusesToStartOnAFullGpu) {
    // StarPU measures the bus when it starts for the first time, even if it uses no GPU.
    setenv("STARPU_HOSTNAME", "full_gpu", 1);
    { const Session measures_the_bus(on_gpus(64 * mebibyte)); }
    simulated::take_memory(0, simulated::current().memory_bytes);
    attention_case x(bf16_problem(2, 1'000, mask_rule::causal_top_left));
    attend_options options = on_gpus(64 * mebibyte);
    expect_does_not_fit([&] { x.run(options); });
    options.workers = worker_set::all;
    const attend_report report = x.run(options);
    expect_exact(x);
    EXPECT_EQ(report.workers.size(), 1); // the CPU
}

// Ends the process, in which StarPU's threads would wait for ever.
[[noreturn]] void run_into_a_stall() {
    simulated::current().attend_flops_per_second = 1;
    attention_case x(bf16_problem(2, 1'000, mask_rule::causal_top_left));
    attend_options options = on_gpus(64 * mebibyte);
    options.stall_seconds = 0.5;
    try {
        x.run(options);
    } catch (const Error& error) {
        std::fprintf(stderr, "%s\n", error.what());
        _exit(static_cast<int>(error.code()));
    }
    _exit(0);
}

TEST_F(SimulatedGpu, GivesUpARunThatStalls) {
    testing::FLAGS_gtest_death_test_style = "threadsafe";
    EXPECT_EXIT(run_into_a_stall(), testing::ExitedWithCode(static_cast<int>(error_code::device)),
                "none of .* submitted tasks has ended for");
}

std::int64_t tasks_of(const attend_report& report, const std::string& kind) {
    std::int64_t tasks = 0;
    for (const auto& worker : report.workers) {
        if (worker.name.starts_with(kind)) tasks += worker.tasks;
    }
    return tasks;
}

attend_options strips_of(std::int64_t tokens, worker_set workers) {
    attend_options options = on_gpus(64 * mebibyte);
    options.workers = workers;
    options.cpu_threads = 1;
    options.chunks = 1;
    options.strip_tokens = tokens;
    options.segment_tokens = 2 * tokens;
    return options;
}

// Much slower than assumed: what the first tasks take has to tell.
void make_two_slow_gpus() {
    simulated::current().gpus = 2;
    simulated::current().attend_flops_per_second = 2e11;
    setenv("CQSA_SIMULATED_GPU", "gpus=2", 1); // for the program that measures their bus
    // What StarPU measures of their bus is kept apart from that of one GPU.
    setenv("STARPU_HOSTNAME", "two_gpus", 1);
}

TEST_F(SimulatedGpu, SharesStripsBetweenTwoGpus) {
    make_two_slow_gpus();
    attention_case x(bf16_problem(1, 8'000, mask_rule::causal_top_left));

    const attend_report report = x.run(strips_of(384, worker_set::cuda));

    expect_exact(x);
    ASSERT_EQ(report.workers.size(), 2U);
    for (const auto& worker : report.workers) {
        EXPECT_GT(worker.tasks, 0) << worker.name;
        EXPECT_GT(worker.busy_seconds, 0) << worker.name;
        EXPECT_LT(worker.busy_seconds, report.measured.seconds) << worker.name;
    }
}

TEST_F(SimulatedGpu, DealsStripsToGpusByThePlanAlone) {
    make_two_slow_gpus();
    attention_case x(bf16_problem(1, 8'000, mask_rule::causal_top_left));

    const attend_report once = x.run(strips_of(384, worker_set::cuda));
    const attend_report again = x.run(strips_of(384, worker_set::cuda));

    ASSERT_EQ(once.workers.size(), 2U);
    EXPECT_EQ(once.workers[0].attend_flops, again.workers[0].attend_flops);
    EXPECT_EQ(once.workers[1].attend_flops, again.workers[1].attend_flops);
    EXPECT_NEAR(once.workers[0].attend_flops, once.workers[1].attend_flops,
                0.1 * once.workers[0].attend_flops);
}

TEST_F(SimulatedGpu, SharesStripsBetweenSlowGpusAndTheCpu) {
    make_two_slow_gpus();
    attention_case x(bf16_problem(1, 8'000, mask_rule::causal_top_left));

    const attend_report report = x.run(strips_of(384, worker_set::all));

    expect_exact(x);
    EXPECT_GT(tasks_of(report, "CPU"), 0);
    EXPECT_GT(tasks_of(report, "CUDA"), 0);
}

TEST_F(SimulatedGpu, SharesStripsBetweenASlowGpuAndTheCpu) {
    simulated::current().attend_flops_per_second = 1e9;
    attention_case x(bf16_problem(1, 8'000, mask_rule::causal_top_left));

    const attend_report report = x.run(strips_of(384, worker_set::all));

    expect_exact(x);
    EXPECT_GT(tasks_of(report, "CPU"), 0);
    EXPECT_GT(tasks_of(report, "CUDA"), 0);
}

TEST_F(SimulatedGpu, LoadsKeysAsOftenAsPredicted) {
    // Only time passes on the GPU, so that it is as fast as a real one.
    simulated::current().computes = false;
    attention_case x(bf16_problem(4, 40'000, mask_rule::causal_top_left));
    attend_options options = on_gpus(12 * mebibyte);

    const attend_report report = x.run(options);

    const auto predicted = static_cast<double>(report.plan.predicted.h2d_bytes);
    EXPECT_NEAR(static_cast<double>(report.measured.h2d_bytes), predicted, 0.02 * predicted);
}

TEST_F(SimulatedGpu, FollowsThePlanThatIsMadeWithoutARun) {
    attention_case x(bf16_problem(2, 5'000, mask_rule::causal_top_left));
    const attend_options options = on_gpus(8 * mebibyte);

    const plan alone = plan_attention(x.size, options);
    const attend_report report = x.run(options);

    EXPECT_EQ(alone.queries, report.plan.queries);
    EXPECT_EQ(alone.keys, report.plan.keys);
    EXPECT_EQ(alone.predicted.device_bytes, report.measured.device_bytes);
}

TEST_F(SimulatedGpu, LeavesOutACpuThatWouldHoldUpTheGpu) {
    // Only time passes on the GPU, so that it is as fast as a real one.
    simulated::current().computes = false;
    attention_case x(bf16_problem(4, 40'000, mask_rule::causal_top_left));

    const attend_report alone = x.run(strips_of(1'920, worker_set::cuda));
    const attend_report both = x.run(strips_of(1'920, worker_set::all));

    EXPECT_EQ(tasks_of(both, "CPU"), 0);
    EXPECT_EQ(tasks_of(both, "CUDA"), tasks_of(alone, "CUDA"));
    EXPECT_EQ(both.plan.interleave, alone.plan.interleave);
    EXPECT_EQ(both.plan.strip_blocks, alone.plan.strip_blocks);
    EXPECT_EQ(both.plan.predicted.seconds, alone.plan.predicted.seconds);
}

TEST_F(SimulatedGpu, LeavesOutACpuThatTheApplicationsSchedulerWouldUse) {
    starpu_conf conf;
    starpu_conf_init(&conf);
    conf.ncpus = 1;
    conf.sched_policy_name = "eager"; // gives any task to any worker
    ASSERT_EQ(starpu_init(&conf), 0);
    attention_case x(bf16_problem(1, 5'000, mask_rule::causal_top_left));

    const attend_report report = x.run(strips_of(384, worker_set::all));

    expect_exact(x);
    EXPECT_EQ(tasks_of(report, "CPU"), 0);
    EXPECT_GT(tasks_of(report, "CUDA"), 0);
    starpu_shutdown();
}

TEST_F(SimulatedGpu, LeavesTheApplicationsStarpuAsItWas) {
    ASSERT_EQ(starpu_init(nullptr), 0);
    const int worker = starpu_worker_get_by_type(STARPU_CUDA_WORKER, 0);
    ASSERT_GE(worker, 0);
    const unsigned node = starpu_worker_get_memory_node(worker);
    const auto used_before = starpu_memory_get_used(node);
    attention_case x(bf16_problem(1, 5'000, mask_rule::causal_top_left));

    const attend_report report = x.run(on_gpus(8 * mebibyte));

    expect_exact(x);
    EXPECT_LE(report.plan.predicted.device_bytes, 8 * mebibyte);
    EXPECT_EQ(starpu_memory_get_used(node), used_before);
    EXPECT_EQ(reserved_bytes(node), 0);
    starpu_shutdown();
}

} // namespace
} // namespace cqsa::test
