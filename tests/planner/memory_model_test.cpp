// SPDX-License-Identifier: Apache-2.0
// The memory model against counts over the steps, and against sums by hand.
#include "plan_checker.hpp"
#include "planner/block_bytes.hpp"
#include "planner/memory_model.hpp"
#include "planner/step_stream.hpp"
#include "random_plan.hpp"
#include "test_machine.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <map>
#include <set>

namespace cqsa::test {
namespace {

TEST(BlockBytes, AddUpTheArraysOfAHandle) {
    problem problem{.batch = 2, .heads = 4, .kv_heads = 2, .head_dim = 64};
    problem.type = data_type::bf16;
    problem.out_type = data_type::f32;
    EXPECT_EQ(query_block_bytes(problem, 100), 2 * 4 * 100 * 64 * 2);
    EXPECT_EQ(key_block_bytes(problem, 100), 2 * 2 * 2 * 100 * 64 * 2);
    EXPECT_EQ(state_block_bytes(problem, 100), 2 * 4 * 100 * 64 * 4 + 2 * 3'328);
    EXPECT_EQ(result_block_bytes(problem, 100), 2 * 4 * 100 * 64 * 4 + 3'328);
    problem.type = problem.out_type = data_type::f64;
    EXPECT_EQ(result_block_bytes(problem, 100), 2 * 4 * 100 * 64 * 8 + 6'400);
}

TEST(BufferSizes, LetOutputsFollowQueriesOfAboutTheirSize) {
    problem problem{.heads = 2, .tokens = 1'000, .kv_tokens = 1'000, .head_dim = 64};
    problem.type = problem.out_type = data_type::bf16;
    const buffer_sizes equal(plan_of(problem, 7, 1, 100, 50));
    EXPECT_EQ(equal.result, result_block_bytes(problem, 100));
    EXPECT_EQ(equal.query, equal.result);
    EXPECT_EQ(equal.key, key_block_bytes(problem, 50));
    EXPECT_EQ(equal.state, state_block_bytes(problem, 100));
    problem.out_type = data_type::f32;
    const buffer_sizes unequal(plan_of(problem, 7, 1, 100, 50));
    EXPECT_EQ(unequal.query, query_block_bytes(problem, 100));
    EXPECT_EQ(unequal.result, result_block_bytes(problem, 100));
}

/// The most bytes of open strips, and of the keys of an attend step and those fetched meanwhile,
/// over all steps.
struct peak_bytes {
    std::int64_t strips = 0;
    std::int64_t segments = 0;
};
peak_bytes count_peaks(const plan& plan) {
    std::vector<step> attends;
    step_stream steps(plan);
    while (const auto step = steps.next()) {
        if (step->kind == step_kind::attend) attends.push_back(*step);
    }
    std::map<std::int64_t, std::set<std::int64_t>> blocks_of;
    std::map<std::int64_t, std::size_t> last;
    for (std::size_t i = 0; i < attends.size(); ++i) {
        blocks_of[attends[i].strip].insert(attends[i].queries.begin(), attends[i].queries.end());
        last[attends[i].strip] = i;
    }
    peak_bytes peak;
    std::set<std::int64_t> open;
    for (std::size_t i = 0; i < attends.size(); ++i) {
        open.insert(attends[i].strip);
        std::set<std::int64_t> queries;
        std::int64_t bytes = 0;
        for (const auto strip : open) {
            for (const auto block : blocks_of[strip]) {
                bytes += state_block_bytes(plan.problem, plan.queries.size(block));
                queries.insert(block);
            }
        }
        for (const auto block : queries) {
            bytes += query_block_bytes(plan.problem, plan.queries.size(block));
        }
        peak.strips = std::max(peak.strips, bytes);
        std::set<std::int64_t> keys(attends[i].keys.begin(), attends[i].keys.end());
        // The next task's, or where strips take turns those of the strip's next.
        for (std::size_t j = i + 1; j < attends.size(); ++j) {
            if (plan.interleave > 1 && attends[j].strip != attends[i].strip) continue;
            keys.insert(attends[j].keys.begin(), attends[j].keys.end());
            break;
        }
        bytes = 0;
        for (const auto key : keys)
            bytes += key_block_bytes(plan.problem, plan.keys.size(key));
        peak.segments = std::max(peak.segments, bytes);
        if (last[attends[i].strip] == i) open.erase(attends[i].strip);
    }
    return peak;
}

TEST(WorkingSet, HoldsWhatTheStepsNeedAtATime) {
    std::mt19937_64 random(9);
    int exact = 0;
    for (int draw = 0; draw < 600; ++draw) {
        const plan plan = random_plan(random, 2'000, 40);
        const auto peak = count_peaks(plan);

        const working_set set = device_working_set(plan, one_gpu(0));

        ASSERT_GE(set.strips_bytes, peak.strips) << to_text(plan);
        ASSERT_GE(set.segments_bytes, peak.segments) << to_text(plan);
        if (set.strips_bytes == peak.strips && set.segments_bytes == peak.segments) ++exact;
    }
    // Full strips and segments are met by many plans, so the model is no loose bound.
    EXPECT_GT(exact, 50);
}

TEST(WorkingSet, CountsResultsMergesAndWorkspace) {
    problem problem{.heads = 2, .tokens = 100, .kv_tokens = 100, .head_dim = 8};
    plan plan = plan_of(problem, 7, 1, 5, 5);
    plan.order = task_order::quorum_major;
    plan.flow = state_flow::merged;
    machine machine = one_gpu(0);
    machine.device_workspace = [](const cqsa::problem& p, std::int64_t strip,
                                  std::int64_t segment) {
        return p.heads * 1'000 + 10 * strip + segment;
    };

    const working_set set = device_working_set(plan, machine);

    EXPECT_EQ(set.results_bytes, 2 * result_block_bytes(problem, 5));
    EXPECT_EQ(set.merges_bytes, 2 * state_block_bytes(problem, 5));
    EXPECT_EQ(set.workspace_bytes, 2'055);
    const std::int64_t bytes = set.strips_bytes + set.segments_bytes + set.results_bytes +
                               set.merges_bytes + padded_bytes(set.workspace_bytes);
    EXPECT_EQ(set.allocated_bytes, bytes);
    machine.device_page_bytes = 10'000;
    EXPECT_EQ(device_working_set(plan, machine).allocated_bytes, (bytes + 9'999) / 10'000 * 10'000);
}

/// Results that must be on a GPU at a time, of two strips in turn.
std::int64_t results_of(plan plan, const machine& machine, std::int64_t interleave) {
    plan.interleave = interleave;
    return device_working_set(plan, machine).results_bytes / buffer_sizes(plan).result;
}

TEST(WorkingSet, HoldsOneResultWhereTheOtherStripGoesOnMeanwhile) {
    problem problem{.heads = 2, .tokens = 100, .kv_tokens = 100, .head_dim = 64};
    plan plan = plan_of(problem, 7, 1, 5, 5);
    EXPECT_EQ(results_of(plan, one_gpu(0), 2), 1);
    EXPECT_EQ(results_of(plan, one_gpu(0), 1), 2);
    machine two_gpus = one_gpu(0);
    two_gpus.devices = 2;
    EXPECT_EQ(results_of(plan, two_gpus, 4), 2);
    plan.order = task_order::quorum_major;
    EXPECT_EQ(results_of(plan, one_gpu(0), 2), 2);
    plan.order = task_order::query_major;
    plan.problem.type = data_type::bf16; // and the result does not fit where the queries were
    EXPECT_EQ(results_of(plan, one_gpu(0), 2), 2);
}

TEST(Residency, TakesASecondResultIntoWhatTheKeysLeave) {
    problem problem{.heads = 2, .tokens = 100, .kv_tokens = 100, .head_dim = 64};
    plan plan = plan_of(problem, 7, 1, 5, 9);
    plan.interleave = 2;
    const std::int64_t least = device_working_set(plan, one_gpu(0)).allocated_bytes;
    const std::int64_t one_more = padded_bytes(buffer_sizes(plan).result);
    ASSERT_LT(one_more, buffer_sizes(plan).key);
    EXPECT_EQ(device_residency(plan, one_gpu(least)).results, 1);
    const residency kept = device_residency(plan, one_gpu(least + one_more));
    EXPECT_EQ(kept.results, 2);
    EXPECT_EQ(kept.query_blocks, 2);
    EXPECT_EQ(kept.device_bytes, least + one_more);
}

TEST(Residency, KeepsAsMuchAsTheBudgetHolds) {
    std::mt19937_64 random(10);
    for (int draw = 0; draw < 500; ++draw) {
        const plan plan = random_plan(random, 2'000, 40);
        const std::int64_t least = device_working_set(plan, one_gpu(0)).allocated_bytes;
        const std::int64_t more = std::uniform_int_distribution<std::int64_t>(0, 60'000)(random);

        const residency kept = device_residency(plan, one_gpu(least + more));

        ASSERT_GE(kept.device_bytes, least);
        ASSERT_LE(kept.device_bytes, least + more) << to_text(plan);
        const bool all_keys = kept.key_blocks == plan.keys.blocks();
        const std::int64_t one_key = key_block_bytes(plan.problem, plan.keys.block_tokens);
        const bool no_room = kept.device_bytes + one_key > least + more;
        std::int64_t bytes = 0;
        for (const device_buffers& one : kept.buffers)
            bytes += one.count * one.bytes;
        ASSERT_EQ(kept.device_bytes, bytes);
        ASSERT_TRUE(all_keys || no_room) << to_text(plan);
    }
}

TEST(HostBytes, HoldTheStatesThatLiveAtATimeOnACpu) {
    machine machine;
    machine.cpu = true;
    std::mt19937_64 random(11);
    for (int draw = 0; draw < 300; ++draw) {
        const plan plan = random_plan(random, 2'000, 40);
        const auto totals = check_steps(plan).totals;
        const problem& p = plan.problem;
        const std::int64_t token_bytes = p.batch * p.heads * (p.head_dim + 2) * 4;

        const std::int64_t model = host_bytes(plan, machine);

        ASSERT_GE(model, (totals.most_states + totals.most_partials) * token_bytes)
            << to_text(plan);
    }
}

TEST(HostBytes, AddTheWorkspaceAndSpareStatesThatDevicesKeep) {
    problem problem{.heads = 1, .tokens = 70, .kv_tokens = 70, .head_dim = 8};
    plan plan = plan_of(problem, 7, 1, 10, 10);
    plan.order = task_order::quorum_major;
    const std::int64_t all_states = 7 * state_block_bytes(problem, 10);
    const std::int64_t least = device_working_set(plan, one_gpu(0)).allocated_bytes;

    EXPECT_EQ(host_bytes(plan, one_gpu(least)), all_states);
    EXPECT_EQ(host_bytes(plan, one_gpu(least + all_states)), 0);
    machine cpu;
    cpu.cpu = true;
    cpu.cpu_workspace = [](const cqsa::problem&, std::int64_t, std::int64_t) { return 77; };
    EXPECT_EQ(host_bytes(plan, cpu), all_states + 77);
    plan.flow = state_flow::merged;
    plan.interleave = 3;
    EXPECT_EQ(host_bytes(plan, cpu), all_states + (3 + 1) * state_block_bytes(problem, 10) + 77);
    plan.flow = state_flow::continued;
    plan.interleave = 1;
    plan.order = task_order::query_major;
    EXPECT_EQ(host_bytes(plan, cpu), 2 * state_block_bytes(problem, 10) + 77);
    EXPECT_EQ(host_bytes(plan, one_gpu(least)), 0);
}

} // namespace
} // namespace cqsa::test
