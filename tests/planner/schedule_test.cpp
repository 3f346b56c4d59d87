// SPDX-License-Identifier: Apache-2.0
// The simulated schedule of one GPU: against sums by hand and bounds, and what it is made for:
// which of some plans is faster.
#include "planner/schedule.hpp"

#include "plan_checker.hpp"
#include "planner/cost_model.hpp"
#include "planner/fetched_keys.hpp"
#include "planner/flops.hpp"
#include "planner/key_loads.hpp"
#include "planner/make_plan.hpp"
#include "planner/memory_model.hpp"
#include "planner/step_stream.hpp"
#include "planner/workload.hpp"
#include "random_plan.hpp"
#include "test_machine.hpp"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <random>
#include <set>
#include <vector>

namespace cqsa::test {
namespace {

double simulated(const plan& plan, const machine& machine) {
    return simulate_schedule(plan, machine, device_residency(plan, machine)).seconds;
}

/// 8 causal tokens of one head, one element each, in f32: 256 bytes of Q, 512 of K with V and of O
/// with LSE, 768 of state a block.
plan eight_tokens(std::int64_t strip, std::int64_t segment) {
    problem problem{.heads = 1, .kv_heads = 1, .tokens = 8, .kv_tokens = 8};
    problem.head_dim = 1;
    problem.type = problem.out_type = data_type::f32;
    problem.mask = mask_rule::causal_top_left;
    plan plan = plan_of(problem, 1, 1, strip, segment);
    plan.interleave = 2;
    return plan;
}

TEST(Schedule, OfOneTaskIsOneThingAfterAnother) {
    machine machine = one_gpu(1 << 20);
    machine.device_rates.load_seconds = 0.25;
    const plan plan = eight_tokens(8, 8);
    const double loads = (256 + 512) / 1e4 + 2 * 0.25;
    const double attend = 4 * 36 / 1e6;
    const double finalize = (768 + 512) / 1e6;
    EXPECT_DOUBLE_EQ(simulated(plan, machine), loads + attend + finalize + 512 / 2e4);
}

TEST(Schedule, OfTwoStripsHidesTheLoadsThatComputingCovers) {
    machine machine = one_gpu(1 << 20);
    machine.device_rates.attend_flops_per_second = 4; // a pair takes a second
    machine.device_rates.load_seconds = 0;
    const plan plan = eight_tokens(4, 4);
    const double first = (256 + 512) / 1e4; // of strip 1 and segment 1: the next walk begins at 0
    const double finalize = (768 + 512) / 1e6;
    EXPECT_DOUBLE_EQ(simulated(plan, machine), first + 36 + 2 * finalize + 512 / 2e4);
}

TEST(Schedule, OfAFastGpuIsThatOfItsBus) {
    machine machine = one_gpu(0);
    machine.device_rates.attend_flops_per_second = 1e15;
    machine.device_rates.merge_bytes_per_second = 1e15;
    machine.device_rates.d2h_bytes_per_second = 1e15;
    machine.device_rates.load_seconds = 0;
    const plan plan = eight_tokens(2, 2);
    machine.device_bytes = device_working_set(plan, machine).allocated_bytes;
    const residency kept = device_residency(plan, machine);
    const auto key_tokens = static_cast<double>(simulate_key_loads(plan, kept.key_blocks));
    EXPECT_NEAR(simulate_schedule(plan, machine, kept).seconds,
                (key_tokens / 2 * 512 + 4 * 256) / 1e4, 1e-9);
}

TEST(Schedule, LetsQueriesWaitUntilTheResultsOfOthersHaveLeft) {
    machine machine = one_gpu(0);
    machine.device_rates.attend_flops_per_second = 16; // a strip takes one to four seconds
    machine.device_rates.d2h_bytes_per_second = 1e3;   // and its result half a second
    plan plan = eight_tokens(2, 8);
    plan.interleave = 1;
    residency kept;
    kept.key_blocks = 1;
    kept.query_blocks = 2;
    const double hidden = simulate_schedule(plan, machine, kept).seconds;
    EXPECT_NEAR(hidden, 9 + 0.512, 0.2);
    kept.query_blocks = 3;
    EXPECT_NEAR(simulate_schedule(plan, machine, kept).seconds, hidden, 0.03);
    kept.query_blocks = 1;
    EXPECT_NEAR(simulate_schedule(plan, machine, kept).seconds, hidden + 3 * 0.512, 0.2);
}

TEST(Schedule, LetsResultsTakeThePlaceOfQueriesOfTheirSize) {
    machine machine = one_gpu(0);
    machine.device_rates.attend_flops_per_second = 16 * 256;
    machine.device_rates.h2d_bytes_per_second = 1e6;
    machine.device_rates.d2h_bytes_per_second = 4'500; // half a second a result
    plan plan = eight_tokens(2, 8);
    plan.problem.head_dim = 256;
    plan.interleave = 1;
    ASSERT_EQ(buffer_sizes(plan).query, buffer_sizes(plan).result);
    residency kept;
    kept.key_blocks = kept.query_blocks = 1;
    const double alone = simulate_schedule(plan, machine, kept).seconds;
    kept.results = 1;
    EXPECT_NEAR(simulate_schedule(plan, machine, kept).seconds, alone - 3 * 0.512, 0.1);
}

TEST(Schedule, CountsNoTilesWhereTheyAreNotModelled) {
    machine machine = one_gpu(1 << 20);
    const plan plan = eight_tokens(4, 4);
    const double without = simulated(plan, machine);
    machine.device_rates.tile_seconds = 1;
    machine.tile_rows = 0;
    EXPECT_DOUBLE_EQ(simulated(plan, machine), without);
}

TEST(Schedule, LiesBetweenTheLongestPartAndTheirSum) {
    std::mt19937_64 random(31);
    for (int draw = 0; draw < 400; ++draw) {
        plan plan = random_query_major_plan(random, 2'000, 40);
        machine machine = one_gpu(0);
        machine.device_rates.attend_flops_per_second =
            std::exp2(std::uniform_real_distribution<>(14, 26)(random));
        const std::int64_t more = std::uniform_int_distribution<std::int64_t>(0, 100'000)(random);
        machine.device_bytes = device_working_set(plan, machine).allocated_bytes + more;
        const workload work = measure_workload(plan);
        plan.tasks = work.tasks;
        const residency kept = device_residency(plan, machine);
        const schedule run = simulate_schedule(plan, machine, kept);
        const bus_traffic traffic =
            predict_traffic(plan, machine, work, kept, run.loaded_key_tokens);
        const double compute =
            total_flops(plan.problem) / machine.device_rates.attend_flops_per_second;
        const double to = static_cast<double>(traffic.h2d()) / 1e4;
        const double from = static_cast<double>(traffic.d2h()) / 2e4;

        ASSERT_GE(run.seconds * (1 + 1e-9), std::max({compute, to, from})) << to_text(plan);
        // Blocks are padded, short ones too; a block of queries may come for each of its tasks.
        const double padding = 512.0 * static_cast<double>(plan.tasks * plan.segment_blocks +
                                                           3 * plan.queries.blocks());
        const auto& rates = machine.device_rates;
        const double rest = static_cast<double>(plan.tasks + plan.queries.blocks()) *
                            (rates.load_seconds + padding / 1e4);
        ASSERT_LE(run.seconds, compute + to + from + rest) << to_text(plan);
    }
}

/// Key tokens that the graph loads (runtime/fetch_ahead.hpp), at the end of one attend task after
/// another.
std::int64_t loaded_by_the_graph(const plan& plan, std::int64_t buffers) {
    std::vector<std::int64_t> attends; // the key block of each
    step_stream steps(plan);
    while (const auto step = steps.next())
        if (step->kind == step_kind::attend) attends.push_back(step->keys.front());
    const std::int64_t count = std::ssize(attends);
    std::vector<std::int64_t> fetched;
    std::int64_t loaded = 0;
    std::int64_t asked = 0; // attends whose keys have been asked for
    for (std::int64_t ended = 0; ended < count; ++ended) {
        std::set<std::int64_t> in_sight;
        for (std::int64_t i = ended + 1; i < count && i <= ended + attends_in_sight; ++i) {
            if (!in_sight.contains(attends[i]) && std::ssize(in_sight) == buffers) break;
            in_sight.insert(attends[i]);
        }
        const auto note = [&](std::int64_t block) {
            if (std::erase(fetched, block) == 0) loaded += plan.keys.size(block);
            while (std::ssize(fetched) >= buffers) {
                const auto idle = std::ranges::find_if(
                    fetched, [&](std::int64_t held) { return !in_sight.contains(held); });
                if (idle == fetched.end()) break;
                fetched.erase(idle);
            }
            fetched.push_back(block);
        };
        note(attends[ended]);
        for (asked = std::max(asked, ended + 1); asked < count && asked <= ended + attends_ahead;
             ++asked)
            note(attends[asked]);
    }
    return loaded;
}

TEST(Schedule, LoadsTheKeysThatTheGraphLoads) {
    std::mt19937_64 random(17);
    int fewer = 0;
    for (int draw = 0; draw < 2000; ++draw) {
        plan plan = random_query_major_plan(random, 4'000, 60);
        plan.segment_blocks = 1;
        plan.interleave = std::uniform_int_distribution<std::int64_t>(1, 2)(random);
        residency kept;
        kept.key_blocks = std::uniform_int_distribution<std::int64_t>(2, 9)(random);
        const schedule run = simulate_schedule(plan, one_gpu(1 << 30), kept);
        ASSERT_EQ(run.loaded_key_tokens, loaded_by_the_graph(plan, kept.key_blocks))
            << to_text(plan) << ", " << kept.key_blocks << " buffers";
        fewer += run.loaded_key_tokens < simulate_key_loads(plan, kept.key_blocks) ? 1 : 0;
    }
    EXPECT_GT(fewer, 0);
}

/// As on an H200, whose launches overlap and whose clock falls.
machine h200(std::int64_t device_bytes) {
    machine machine = h100(device_bytes);
    machine.tile_rows = 192;
    machine.alignment = 384;
    rates& rates = machine.device_rates;
    rates.attend_flops_per_second = 505e12;
    rates.tile_seconds = 4e-6;
    rates.load_seconds = 1.2e-5;
    rates.host_seconds = 5.5e-5;
    rates.boost = 0.135;
    rates.boost_seconds = 0.12;
    rates.shortest_task_seconds = 1.5e-4;
    return machine;
}

double simulated(std::int64_t tokens, std::int64_t budget, std::int64_t strip, std::int64_t segment,
                 std::int64_t chunks = 1) {
    const machine machine = h200(budget * mebibyte);
    plan_request request;
    request.chunks = chunks;
    request.order = task_order::query_major;
    request.strip_tokens = strip;
    request.segment_tokens = segment;
    return simulated(make_plan(causal(tokens), machine, request), machine);
}

// Seconds of second calls on an H200 (bench/README.md): tasks at the diagonal decide.
TEST(Schedule, TellsWhichOfSomePlansOfShortRunsAreFaster) {
    const double fast = simulated(65'536, 128, 8'448, 8'448); // measured 0.0107
    EXPECT_LT(fast, simulated(65'536, 128, 9'600, 8'448));    // 0.0117
    EXPECT_LT(fast, simulated(65'536, 128, 8'448, 11'136));   // 0.0119
    EXPECT_NEAR(fast, 0.0107, 0.05 * 0.0107);
}

// Two strips of 5376 rows are 448 tiles of 192 rows, 3.4 waves on 132 multiprocessors, and the next
// keys are too late for others to fill the fourth; two of 6144 rows are 512 tiles, 3.9 waves.
TEST(Schedule, CountsMultiprocessorsWithoutWorkWhereKeysComeLate) {
    const double full = simulated(262'144, 64, 6'144, 4'224);  // measured 0.1622 and 0.1634
    const double empty = simulated(262'144, 64, 5'376, 5'376); // 0.1738 and 0.1757
    EXPECT_LT(full, 0.98 * empty);
    EXPECT_NEAR(full, 0.1628, 0.05 * 0.1628);
    EXPECT_NEAR(empty, 0.1748, 0.05 * 0.1748);
}

TEST(Schedule, OfQueryMajorPlansIsThatOfTheirCuts) {
    EXPECT_EQ(simulated(65'536, 256, 7'296, 7'296, 3), simulated(65'536, 256, 7'296, 7'296));
    EXPECT_EQ(simulated(262'144, 256, 18'816, 18'816, 7), simulated(262'144, 256, 18'816, 18'816));
}

TEST(Schedule, IsWhatThePlannerFollowsOnALoneGpu) {
    for (const std::int64_t tokens : {65'536, 262'144, 1'048'576}) {
        const machine machine = h200(128 * mebibyte);
        const plan chosen = make_plan(causal(tokens), machine);
        EXPECT_DOUBLE_EQ(chosen.predicted.seconds, simulated(chosen, machine));
        plan_request request;
        request.chunks = 1;
        const plan undivided = make_plan(causal(tokens), machine, request);
        EXPECT_LT(chosen.predicted.seconds, 1.006 * simulated(undivided, machine));
    }
}

} // namespace
} // namespace cqsa::test
