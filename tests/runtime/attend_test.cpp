// SPDX-License-Identifier: Apache-2.0
// Whole attentions through the graph, against the float64 oracle.
#include "tests/runtime/attention_case.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace cqsa::test {
namespace {

// Bounds on the norm-wise error for inputs of unit variance: a few units of the type's rounding.
double output_bound(data_type type) {
    switch (type) {
    case data_type::f16:
        return 4e-4;
    case data_type::bf16:
        return 3e-3;
    case data_type::f32:
        return 1e-6;
    case data_type::f64:
        return 1e-14;
    }
    return 0;
}

double lse_bound(data_type type) {
    return type == data_type::f64 ? 1e-14 : type == data_type::f32 ? 2e-6 : 1e-5;
}

void expect_exact(const attention_case& given) {
    const attention_values exact = given.exact();
    EXPECT_LE(relative_error(given.out.values(), exact.o), output_bound(given.size.type));
    EXPECT_LE(max_scaled_error(given.lse.values(), exact.lse), lse_bound(given.size.type));
}

struct plan_case {
    std::string name;
    std::int64_t chunks;
    int depth;
    task_order order;
    state_flow flow;
};

class Plans : public ::testing::TestWithParam<std::tuple<plan_case, mask_rule>> {};

TEST_P(Plans, GiveTheExactAttention) {
    const auto& [plan, mask] = GetParam();
    attention_case given({.batch = 1,
                          .heads = 2,
                          .kv_heads = 1,
                          .tokens = 1900,
                          .kv_tokens = 1900,
                          .head_dim = 16,
                          .mask = mask});

    const attend_report report = given.run({.workers = worker_set::cpu,
                                            .chunks = plan.chunks,
                                            .depth = plan.depth,
                                            .order = plan.order,
                                            .flow = plan.flow,
                                            .block_tokens = 128,
                                            .strip_tokens = 256,
                                            .segment_tokens = 384});

    expect_exact(given);
    EXPECT_EQ(report.plan.chunks, plan.chunks);
    EXPECT_EQ(report.plan.depth, plan.depth);
    EXPECT_EQ(report.plan.order, plan.order);
    EXPECT_EQ(report.plan.flow, plan.flow);
}

INSTANTIATE_TEST_SUITE_P(
    Attend, Plans,
    ::testing::Combine(
        ::testing::Values(
            plan_case{"one_chunk", 1, 1, task_order::query_major, state_flow::continued},
            plan_case{"c3_query", 3, 1, task_order::query_major, state_flow::continued},
            plan_case{"c7_continued", 7, 1, task_order::quorum_major, state_flow::continued},
            plan_case{"c7_merged", 7, 1, task_order::quorum_major, state_flow::merged},
            plan_case{"c10_merged", 10, 1, task_order::quorum_major, state_flow::merged},
            plan_case{"c13_merged", 13, 1, task_order::quorum_major, state_flow::merged},
            plan_case{"c3_depth2_merged", 3, 2, task_order::quorum_major, state_flow::merged},
            plan_case{"c21_continued", 21, 1, task_order::quorum_major, state_flow::continued}),
        ::testing::Values(mask_rule::none, mask_rule::causal_top_left)),
    [](const auto& tested) {
        return std::get<0>(tested.param).name +
               (std::get<1>(tested.param) == mask_rule::none ? "_dense" : "_causal");
    });

class Types : public ::testing::TestWithParam<data_type> {};

TEST_P(Types, AreExactWithinTheirRounding) {
    attention_case given({.batch = 2,
                          .heads = 4,
                          .kv_heads = 2,
                          .tokens = 700,
                          .kv_tokens = 700,
                          .head_dim = 64,
                          .type = GetParam(),
                          .out_type = GetParam(),
                          .mask = mask_rule::causal_top_left});

    given.run({.workers = worker_set::cpu, .chunks = 7});

    expect_exact(given);
}

INSTANTIATE_TEST_SUITE_P(Attend, Types,
                         ::testing::Values(data_type::f16, data_type::bf16, data_type::f32,
                                           data_type::f64),
                         [](const auto& tested) { return std::string(name_of(tested.param)); });

class Layouts : public ::testing::TestWithParam<layout> {};

TEST_P(Layouts, AreReadAndWrittenInPlace) {
    attention_case given(
        {.batch = 2, .heads = 3, .kv_heads = 3, .tokens = 300, .kv_tokens = 300, .head_dim = 20},
        GetParam());

    given.run({.workers = worker_set::cpu, .chunks = 3, .block_tokens = 128});

    expect_exact(given);
}

INSTANTIATE_TEST_SUITE_P(Attend, Layouts,
                         ::testing::Values(layout::bhnd, layout::bnhd, layout::packed));

class Lengths : public ::testing::TestWithParam<std::tuple<std::int64_t, std::int64_t, mask_rule>> {
};

TEST_P(Lengths, MayDiffer) {
    const auto [tokens, kv_tokens, mask] = GetParam();
    attention_case given({.batch = 1,
                          .heads = 1,
                          .kv_heads = 1,
                          .tokens = tokens,
                          .kv_tokens = kv_tokens,
                          .head_dim = 8,
                          .mask = mask});

    given.run({.workers = worker_set::cpu, .chunks = 7, .block_tokens = 128});

    expect_exact(given);
}

INSTANTIATE_TEST_SUITE_P(Attend, Lengths,
                         ::testing::Combine(::testing::Values(1, 127, 1000),
                                            ::testing::Values(0, 1, 129, 1500),
                                            ::testing::Values(mask_rule::none,
                                                              mask_rule::causal_top_left,
                                                              mask_rule::causal_bottom_right)));

TEST(Attend, WritesFullPrecisionOfHalfInputsOnRequest) {
    attention_case given({.batch = 1,
                          .heads = 1,
                          .kv_heads = 1,
                          .tokens = 200,
                          .kv_tokens = 200,
                          .head_dim = 32,
                          .type = data_type::f16,
                          .out_type = data_type::f32});

    given.run({.workers = worker_set::cpu});

    // Without the rounding of the output to f16 only that of P (11 bits) is left.
    EXPECT_LE(relative_error(given.out.values(), given.exact().o), 2e-4);
}

TEST(Attend, NeedsNoLse) {
    attention_case given(
        {.batch = 1, .heads = 1, .kv_heads = 1, .tokens = 200, .kv_tokens = 200, .head_dim = 32});

    attend(tensor_of(given.q), tensor_of(given.k), tensor_of(given.v), mutable_tensor_of(given.out),
           {}, {.workers = worker_set::cpu});

    EXPECT_LE(relative_error(given.out.values(), given.exact().o), 1e-6);
}

TEST(Attend, OfNoTokensDoesNothing) {
    attention_case given(
        {.batch = 1, .heads = 1, .kv_heads = 1, .tokens = 0, .kv_tokens = 10, .head_dim = 4});

    const attend_report report = given.run({.workers = worker_set::cpu});

    EXPECT_EQ(report.plan.tasks, 0);
}

TEST(Attend, UsesTheGivenScale) {
    attention_case given(
        {.batch = 1, .heads = 1, .kv_heads = 1, .tokens = 150, .kv_tokens = 150, .head_dim = 8});

    given.run({.scale = 0.125, .workers = worker_set::cpu});

    const attention_values exact = attention_oracle(given.size, 0.125, given.q, given.k, given.v);
    EXPECT_LE(relative_error(given.out.values(), exact.o), 1e-6);
}

TEST(Attend, IsBitwiseReproducible) {
    const problem size{.batch = 1,
                       .heads = 2,
                       .kv_heads = 2,
                       .tokens = 1500,
                       .kv_tokens = 1500,
                       .head_dim = 32,
                       .type = data_type::bf16,
                       .out_type = data_type::f32,
                       .mask = mask_rule::causal_top_left};
    attention_case first(size);
    attention_case second(size);
    const attend_options options{
        .workers = worker_set::cpu, .chunks = 7, .flow = state_flow::merged, .block_tokens = 128};

    first.run(options);
    second.run(options);

    EXPECT_TRUE(std::ranges::equal(first.out.storage(), second.out.storage()));
    EXPECT_TRUE(std::ranges::equal(first.lse.storage(), second.lse.storage()));
}

TEST(Attend, ReportsWhatItDid) {
    attention_case given(
        {.batch = 1, .heads = 2, .kv_heads = 2, .tokens = 1000, .kv_tokens = 1000, .head_dim = 32});
    std::vector<progress> seen;

    const attend_report report =
        given.run({.workers = worker_set::cpu, .chunks = 7, .on_progress = [&](const progress& p) {
                       seen.push_back(p);
                   }});

    EXPECT_EQ(report.measured.flops, 4.0 * 1000 * 1000 * 2 * 32);
    EXPECT_GT(report.measured.seconds, 0);
    EXPECT_GT(report.measured.host_bytes, 0);
    EXPECT_LE(report.measured.host_bytes, report.plan.predicted.host_bytes);
    EXPECT_EQ(report.measured.device_bytes, 0);
    ASSERT_EQ(report.workers.size(), 1U);
    EXPECT_GE(report.workers.front().tasks, report.plan.tasks);
    ASSERT_FALSE(seen.empty());
    EXPECT_EQ(seen.back().flops_done, seen.back().flops_total);
    EXPECT_EQ(seen.back().tasks_done, seen.back().tasks_total);
}

} // namespace
} // namespace cqsa::test
