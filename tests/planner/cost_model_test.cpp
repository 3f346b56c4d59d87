// SPDX-License-Identifier: Apache-2.0
// Bytes over the bus and seconds: the models against counts over the steps and sums by hand.
#include "plan_checker.hpp"
#include "planner/cost_model.hpp"
#include "planner/flops.hpp"
#include "planner/key_loads.hpp"
#include "planner/step_stream.hpp"
#include "random_plan.hpp"
#include "test_machine.hpp"

#include <gtest/gtest.h>
#include <map>

namespace cqsa::test {
namespace {

/// Bytes over the bus when keys go through a cache, queries are fetched at each visit (query-major:
/// there is one), and states come and go between the visits of a block (or its merges).
bus_traffic count_traffic(const plan& plan, const residency& kept) {
    const problem& p = plan.problem;
    const std::int64_t element = bytes_of(p.type);
    const std::int64_t query_token = p.batch * p.heads * p.head_dim * element;
    const std::int64_t key_token = 2 * p.batch * p.kv_heads * p.head_dim * element;
    const std::int64_t state_token = p.batch * p.heads * (p.head_dim + 2) * 4;
    const std::int64_t result_token = p.batch * p.heads * (p.head_dim * bytes_of(p.out_type) + 4);
    bus_traffic traffic;
    std::map<std::int64_t, std::int64_t> visit_of; // of each block, the last one
    step_stream steps(plan);
    while (const auto step = steps.next()) {
        if (step->kind == step_kind::finalize) {
            traffic.result_bytes += result_token * plan.queries.size(step->queries[0]);
        }
        if (step->kind == step_kind::merge && !step->fresh[0] && !kept.states) {
            traffic.state_bytes += state_token * plan.queries.size(step->queries[0]);
        }
        if (step->kind != step_kind::attend) continue;
        for (const auto block : step->queries) {
            const bool known = visit_of.contains(block);
            if (known && visit_of[block] == step->strip) continue;
            const std::int64_t tokens = plan.queries.size(block);
            if (!known || !kept.queries) traffic.query_bytes += query_token * tokens;
            if (known && !step->partial && !kept.states) {
                traffic.state_bytes += state_token * tokens;
            }
            visit_of[block] = step->strip;
        }
    }
    traffic.key_bytes = key_token * simulate_key_loads(plan, kept.key_blocks);
    return traffic;
}

TEST(Traffic, IsWhatTheStepsMove) {
    std::mt19937_64 random(12);
    for (int draw = 0; draw < 400; ++draw) {
        const plan plan = random_plan(random, 2'000, 40);
        const workload work = measure_workload(plan);
        const std::int64_t least = device_working_set(plan, one_gpu(0)).allocated_bytes;
        const std::int64_t more = std::uniform_int_distribution<std::int64_t>(0, 100'000)(random);
        const machine machine = one_gpu(least + more);
        const residency kept = device_residency(plan, machine);

        const bus_traffic model =
            predict_traffic(plan, machine, work, kept, simulate_key_loads(plan, kept.key_blocks));

        const bus_traffic counted = count_traffic(plan, kept);
        ASSERT_EQ(model.key_bytes, counted.key_bytes) << to_text(plan);
        ASSERT_EQ(model.query_bytes, counted.query_bytes) << to_text(plan);
        ASSERT_EQ(model.state_bytes, counted.state_bytes) << to_text(plan);
        ASSERT_EQ(model.result_bytes, counted.result_bytes) << to_text(plan);
    }
}

TEST(Tiles, LeaveThreadBlocksIdleWhereTheyDoNotFillTheirLastWave) {
    problem problem{.heads = 3, .tokens = 1'000, .kv_tokens = 1'000, .head_dim = 8};
    plan plan = plan_of(problem, 1, 1, 250, 250);
    plan.strip_blocks = 2;
    machine machine = one_gpu(0);
    EXPECT_EQ(tile_efficiency(plan, machine), 1);
    machine.tiles_at_once = 4;
    machine.tile_rows = 100;
    // 2 blocks of 3 tiles, the third half full, in 3 heads: 18 tiles in 5 waves of 4.
    EXPECT_DOUBLE_EQ(tile_efficiency(plan, machine), 1'500.0 / (5 * 4 * 100));
}

TEST(Tiles, CostTheirBeginningsAndEndsWhereLaunchesOverlap) {
    problem problem{.heads = 3, .tokens = 1'000, .kv_tokens = 1'000, .head_dim = 8};
    plan plan = plan_of(problem, 1, 1, 250, 250);
    plan.strip_blocks = 2;
    machine machine = one_gpu(0);
    machine.tiles_at_once = 4;
    machine.tile_rows = 100;
    machine.device_rates.tile_seconds = 0.5;
    const workload work = measure_workload(plan);
    // Those of a lone strip wait for each other.
    EXPECT_DOUBLE_EQ(tile_efficiency(plan, machine), 1'500.0 / (5 * 4 * 100));
    plan.interleave = 2;
    EXPECT_DOUBLE_EQ(tile_efficiency(plan, machine), 250.0 / 300);
    EXPECT_DOUBLE_EQ(tile_seconds(plan, machine, work),
                     static_cast<double>(work.tasks) * 18 / 4 * 0.5);
}

TEST(Seconds, OnACpuAreThoseOfAllTasksInTurn) {
    problem problem{.heads = 2, .tokens = 60, .kv_tokens = 60, .head_dim = 4};
    plan plan = plan_of(problem, 3, 1, 20, 20);
    plan.order = task_order::quorum_major;
    plan.flow = state_flow::merged;
    machine machine;
    machine.cpu = true;
    machine.cpu_rates = {
        .attend_flops_per_second = 1e6, .merge_bytes_per_second = 1e5, .task_seconds = 0.5};
    const workload work = measure_workload(plan);

    const cost cost = predict(plan, machine, work);

    const double attend = 4.0 * 4 * 2 * 60 * 60 / 1e6;
    // Each of 3 blocks: 2 partial states, the first one copied (2 accesses), the second added (3).
    const double state = 2 * 20 * 6 * 4;
    const double merge = 3 * (2 + 3) * state / 1e5;
    const double finalize = 3 * (state + 2 * 20 * (4 * 4 + 4)) / 1e5;
    EXPECT_DOUBLE_EQ(cost.seconds, attend + merge + finalize + (9 + 6 + 3) * 0.5);
    EXPECT_EQ(cost.flops, 4.0 * 4 * 2 * 60 * 60);
    EXPECT_EQ(cost.device_bytes, 0);
    EXPECT_EQ(cost.h2d_bytes, 0);
    EXPECT_EQ(cost.d2h_bytes, 0);
}

TEST(Seconds, OnACpuCountTheFirstUseOfMemory) {
    const problem problem{.heads = 2, .tokens = 60, .kv_tokens = 60, .head_dim = 4};
    const plan plan = plan_of(problem, 3, 1, 20, 20);
    machine machine = small_cpu();
    const workload work = measure_workload(plan);
    const double before = predict(plan, machine, work).seconds;

    machine.cpu_rates.touch_bytes_per_second = 1e6;

    const double bytes = static_cast<double>(host_bytes(plan, machine)) + 2 * 60 * (4 * 4 + 4);
    EXPECT_DOUBLE_EQ(predict(plan, machine, work).seconds, before + bytes / 1e6);
}

TEST(Seconds, DoNotCountOnACpuThatCannotHelpTheGpus) {
    plan plan = plan_of(causal(65'536), 1, 1, 8'192, 8'192);
    plan.interleave = 3;
    machine alone = h100(64 * mebibyte);
    machine both = alone;
    both.cpu = true;
    both.cpu_rates = small_cpu().cpu_rates;
    const workload work = measure_workload(plan);
    EXPECT_EQ(workers(both), 1);
    EXPECT_EQ(predict(plan, both, work).seconds, predict(plan, alone, work).seconds);

    both.cpu_rates.attend_flops_per_second = both.device_rates.attend_flops_per_second / 2;

    EXPECT_EQ(workers(both), 2);
    EXPECT_LT(predict(plan, both, work).seconds, predict(plan, alone, work).seconds);
}

TEST(Seconds, OnGpusHideTheLoadsOfKeysOnlyBehindASecondStrip) {
    problem problem{.heads = 2, .tokens = 80, .kv_tokens = 80, .head_dim = 4};
    plan plan = plan_of(problem, 1, 1, 10, 10);
    machine machine = one_gpu(1 << 20);
    machine.devices = 2;
    machine.device_rates.load_seconds = 0.02;
    const workload work = measure_workload(plan);
    const auto seconds = [&](std::int64_t interleave, std::int64_t key_bytes) {
        plan.interleave = interleave;
        return predict_seconds(plan, machine, work, {.key_bytes = key_bytes});
    };
    const double compute = total_flops(problem) / 1e6 / 2;
    const double segment_bytes = 10 * 2 * 4 * 4; // tokens, K and V, head_dim, bytes
    const auto loads = [&](std::int64_t bytes) { // of each GPU's half
        const double half = static_cast<double>(bytes) / 2;
        return half / 1e4 + half / segment_bytes * 0.02;
    };

    EXPECT_DOUBLE_EQ(seconds(2, 500), seconds(2, 0) + loads(500));
    EXPECT_NEAR(seconds(4, 500), seconds(4, 0), 1e-3 * compute);
    // Where both take as long, neither hides the other altogether.
    const auto equal = static_cast<std::int64_t>(compute / loads(1));
    EXPECT_NEAR(seconds(4, equal), seconds(4, 0) + 0.09 * compute, 0.02 * compute);
    const auto much = static_cast<std::int64_t>(100 * compute * 2e4);
    EXPECT_GT(seconds(4, much), seconds(4, 0) + 90 * compute);
    EXPECT_LT(seconds(4, much), seconds(2, much));
}

TEST(Seconds, OnASingleGpuHideTheLoadsOfKeysBehindALoneStrip) {
    problem problem{.heads = 2, .tokens = 80, .kv_tokens = 80, .head_dim = 4};
    const plan plan = plan_of(problem, 1, 1, 10, 10);
    const machine machine = one_gpu(1 << 20);
    const workload work = measure_workload(plan);
    EXPECT_NEAR(predict_seconds(plan, machine, work, {.key_bytes = 500}),
                predict_seconds(plan, machine, work, {}), 1e-3 * total_flops(problem) / 1e6);
}

TEST(Seconds, OnASingleGpuHideTheHostsWorkBehindASecondStrip) {
    problem problem{.heads = 2, .tokens = 80, .kv_tokens = 80, .head_dim = 4};
    plan plan = plan_of(problem, 1, 1, 10, 10);
    machine machine = one_gpu(1 << 20);
    const workload work = measure_workload(plan);
    const double compute = total_flops(problem) / 1e6;
    const double tasks = 8 * 8 + 8;
    const auto cost_of = [&](std::int64_t interleave, double host_seconds) {
        plan.interleave = interleave;
        machine.device_rates.host_seconds = 0;
        const double without = predict_seconds(plan, machine, work, {});
        machine.device_rates.host_seconds = host_seconds;
        return predict_seconds(plan, machine, work, {}) - without;
    };
    const double little = 0.2 * compute / tasks;
    EXPECT_NEAR(cost_of(1, little), little * tasks, 1e-9);
    EXPECT_NEAR(cost_of(2, little), 0, 1e-3 * compute);
    EXPECT_GT(cost_of(2, 10 * compute / tasks), 8 * compute);
}

TEST(Seconds, OnAGpuAreFewerBeforeItsClockFalls) {
    problem problem{.heads = 2, .tokens = 80, .kv_tokens = 80, .head_dim = 4};
    plan plan = plan_of(problem, 1, 1, 10, 10);
    plan.interleave = 2;
    machine machine = one_gpu(1 << 20);
    const workload work = measure_workload(plan);
    const double before = predict_seconds(plan, machine, work, {});
    const double compute = total_flops(problem) / 1e6;
    machine.device_rates.boost = 0.1;
    machine.device_rates.boost_seconds = compute / 2;
    // The mean of what is saved at first and of nothing.
    EXPECT_NEAR(predict_seconds(plan, machine, work, {}), before - 0.1 * compute / 4, 1e-9);
    machine.device_rates.boost_seconds = 1e6 * compute;
    EXPECT_NEAR(predict_seconds(plan, machine, work, {}), before - 0.1 * compute, 0.01 * before);
}

TEST(Seconds, OnASingleGpuHideWhatAChangeOfStripMoves) {
    problem problem{.heads = 2, .tokens = 80, .kv_tokens = 80, .head_dim = 4};
    plan plan = plan_of(problem, 1, 1, 10, 10);
    const workload work = measure_workload(plan);
    machine machine = one_gpu(1 << 20);
    machine.device_rates.pin_bytes_per_second = 0;
    const auto cost_of = [&](std::int64_t interleave, const bus_traffic& moved) {
        plan.interleave = interleave;
        return predict_seconds(plan, machine, work, moved) -
               predict_seconds(plan, machine, work, {});
    };
    EXPECT_EQ(cost_of(2, {.query_bytes = 500, .result_bytes = 600}), 0);
    EXPECT_NEAR(cost_of(1, {.query_bytes = 500, .result_bytes = 600}), 500 / 1e4 + 600 / 2e4,
                1e-12);
    EXPECT_NEAR(cost_of(2, {.state_bytes = 700}), 700 / 1e4 + 700 / 2e4, 1e-12);
}

TEST(Seconds, OnASingleGpuBeginWithAStripsQueriesAndEndWithItsResults) {
    const problem problem{.heads = 2, .tokens = 80, .kv_tokens = 80, .head_dim = 4};
    machine machine = one_gpu(1 << 20);
    machine.device_rates.strip_seconds = 0;
    const auto seconds = [&](std::int64_t strip_tokens, double h2d, double d2h) {
        plan plan = plan_of(problem, 1, 1, strip_tokens, 10);
        plan.interleave = 2;
        machine.device_rates.h2d_bytes_per_second = h2d;
        machine.device_rates.d2h_bytes_per_second = d2h;
        return predict_seconds(plan, machine, measure_workload(plan), {});
    };
    for (const std::int64_t tokens : {10, 40}) {
        const auto rows = static_cast<double>(2 * tokens); // of 2 heads
        const double keys = 10 * 2 * 4 * 4;                // of a segment
        EXPECT_NEAR(seconds(tokens, 1e4, 1e30) - seconds(tokens, 1e30, 1e30),
                    (keys + rows * 4 * 4) / 1e4, 1e-9);
        EXPECT_NEAR(seconds(tokens, 1e30, 1e4) - seconds(tokens, 1e30, 1e30),
                    rows * (4 * 4 + 4) / 1e4, 1e-9);
    }
}

TEST(Seconds, ShareWholeStripsBetweenDevices) {
    problem problem{.heads = 2, .tokens = 80, .kv_tokens = 80, .head_dim = 4};
    plan plan = plan_of(problem, 1, 1, 10, 10); // 8 strips
    const workload work = measure_workload(plan);
    const auto seconds = [&](int devices) {
        machine machine = one_gpu(1 << 20);
        machine.device_rates.h2d_bytes_per_second = 1e30;
        machine.device_rates.d2h_bytes_per_second = 1e30;
        machine.device_rates.strip_seconds = 0;
        machine.devices = devices;
        plan.interleave = std::int64_t{2} * devices;
        return predict_seconds(plan, machine, work, {});
    };
    EXPECT_NEAR(seconds(2), seconds(1) / 2, 1e-12);
    EXPECT_NEAR(seconds(3), seconds(1) * 3 / 8, 1e-12);
    EXPECT_NEAR(seconds(8), seconds(1) / 8, 1e-12);
}

TEST(Seconds, OfCausalStripsAreAtLeastThoseOfTheLongest) {
    problem problem{.heads = 2, .tokens = 80, .kv_tokens = 80, .head_dim = 4};
    problem.mask = mask_rule::causal_top_left;
    plan plan = plan_of(problem, 1, 1, 10, 10); // 8 strips of 55, 155, … 755 pairs, 3240 in all
    const workload work = measure_workload(plan);
    const auto seconds = [&](int devices) {
        machine machine = one_gpu(1 << 20);
        machine.device_rates.h2d_bytes_per_second = 1e30;
        machine.device_rates.d2h_bytes_per_second = 1e30;
        machine.device_rates.strip_seconds = 0;
        machine.devices = devices;
        plan.interleave = std::int64_t{2} * devices;
        return predict_seconds(plan, machine, work, {});
    };
    EXPECT_NEAR(seconds(4), seconds(1) / 4, 1e-12); // 755 + 55, 655 + 155, …
    EXPECT_NEAR(seconds(8), seconds(1) * 755 / 3'240, 1e-12);
}

} // namespace
} // namespace cqsa::test
