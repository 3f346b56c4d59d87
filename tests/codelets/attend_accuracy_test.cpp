// SPDX-License-Identifier: Apache-2.0
// The OpenMP kernels of every instruction set against the float64 oracle.
#include "codelets/finalize/finalize.hpp"
#include "tests/codelets/attend_cases.hpp"

#include <cstdlib>
#include <gtest/gtest.h>
#include <string>
#include <tuple>
#include <vector>

namespace cqsa {
namespace {

using test::attention_inputs;
using test::BlockedAttention;

constexpr data_type all_types[] = {data_type::f16, data_type::bf16, data_type::f32, data_type::f64};
constexpr mask_rule all_masks[] = {mask_rule::none, mask_rule::causal_top_left,
                                   mask_rule::causal_bottom_right};

std::string mask_name(mask_rule mask) {
    return mask == mask_rule::none              ? "dense"
           : mask == mask_rule::causal_top_left ? "top_left"
                                                : "bottom_right";
}

/// Runs every kernel over the blocks and compares acc, m, l, o and lse with the oracle.
void expect_accurate(const attention_inputs& x, const std::vector<std::int64_t>& query_blocks,
                     const std::vector<std::int64_t>& key_blocks, int threads = 2) {
    const auto expected = x.oracle();
    for (const auto& kernel : test::kernels_of(x.p.type)) {
        BlockedAttention blocks(x.p, x.scale, query_blocks, key_blocks);
        blocks.bind(x.q.view(), x.k.view(), x.v.view());

        test::run(blocks.task(), kernel, threads);

        EXPECT_EQ(test::difference(blocks.result(), expected, test::tolerance(x.p.type)), "")
            << kernel.name;
    }
}

class HeadDim : public ::testing::TestWithParam<std::tuple<data_type, mask_rule, std::int64_t>> {};
TEST_P(HeadDim, IsExact) {
    const auto [type, mask, d] = GetParam();
    const attention_inputs x(test::make_problem(type, mask, 129, 193, d));
    expect_accurate(x, {129}, {193});
}
INSTANTIATE_TEST_SUITE_P(
    All, HeadDim,
    ::testing::Combine(::testing::ValuesIn(all_types),
                       ::testing::Values(mask_rule::none, mask_rule::causal_top_left),
                       ::testing::Values(1, 3, 16, 31, 32, 64, 80, 96, 100, 128, 192, 256)),
    [](const auto& tested) {
        return std::string(name_of(std::get<0>(tested.param))) + "_" +
               mask_name(std::get<1>(tested.param)) + "_" +
               std::to_string(std::get<2>(tested.param));
    });

class EveryHeadDim : public ::testing::TestWithParam<data_type> {};
TEST_P(EveryHeadDim, IsExact) {
    for (std::int64_t d = 1; d <= 256; ++d) {
        SCOPED_TRACE(d);
        expect_accurate(
            attention_inputs(test::make_problem(GetParam(), mask_rule::causal_top_left, 17, 35, d)),
            {17}, {35}, 1);
    }
}
INSTANTIATE_TEST_SUITE_P(All, EveryHeadDim, ::testing::ValuesIn(all_types),
                         [](const auto& tested) { return std::string(name_of(tested.param)); });

class Length : public ::testing::TestWithParam<std::tuple<data_type, mask_rule, std::int64_t>> {};
TEST_P(Length, IsExactForQueriesAndKeys) {
    const auto [type, mask, n] = GetParam();
    const attention_inputs square(test::make_problem(type, mask, n, n, 32));
    expect_accurate(square, {n}, {n});
    const attention_inputs wide(test::make_problem(type, mask, 70, n, 32));
    expect_accurate(wide, {70}, {n});
}
INSTANTIATE_TEST_SUITE_P(All, Length,
                         ::testing::Combine(::testing::ValuesIn(all_types),
                                            ::testing::ValuesIn(all_masks),
                                            ::testing::Values(1, 15, 17, 63, 64, 65, 127, 128, 129,
                                                              191, 192, 193, 511, 513, 1000)),
                         [](const auto& tested) {
                             return std::string(name_of(std::get<0>(tested.param))) + "_" +
                                    mask_name(std::get<1>(tested.param)) + "_" +
                                    std::to_string(std::get<2>(tested.param));
                         });

/// More keys than a tile takes, whose weights some kernels compute beside the next tile's scores.
class ManyKeys : public ::testing::TestWithParam<std::tuple<data_type, mask_rule, std::int64_t>> {};
TEST_P(ManyKeys, AreExact) {
    const auto [type, mask, d] = GetParam();
    expect_accurate(attention_inputs(test::make_problem(type, mask, 37, 2600, d)), {37}, {2600});
}
INSTANTIATE_TEST_SUITE_P(All, ManyKeys,
                         ::testing::Combine(::testing::ValuesIn(all_types),
                                            ::testing::Values(mask_rule::none,
                                                              mask_rule::causal_bottom_right),
                                            ::testing::Values(16, 32, 64, 72, 128, 256)),
                         [](const auto& tested) {
                             return std::string(name_of(std::get<0>(tested.param))) + "_" +
                                    mask_name(std::get<1>(tested.param)) + "_" +
                                    std::to_string(std::get<2>(tested.param));
                         });

class Output : public ::testing::TestWithParam<std::tuple<data_type, mask_rule>> {};
TEST_P(Output, IsWithinWhatTheProjectPromises) {
    const data_type type = std::get<0>(GetParam());
    problem p = test::make_problem(type, std::get<1>(GetParam()), 300, 700, 64);
    p.heads = p.kv_heads = 2;
    const attention_inputs x(p);
    const auto expected = x.oracle();
    for (const auto& kernel : test::kernels_of(type)) {
        BlockedAttention blocks(p, x.scale, {300}, {512, 188});
        blocks.bind(x.q.view(), x.k.view(), x.v.view());
        test::Tensor out(type, 1, 2, 300, 64, test::layout::bnhd);
        test::Tensor lse(state_type(type), 1, 2, 300, 1);
        finalize_task finalize;
        finalize.type = finalize.out_type = type;
        finalize.heads = 2;
        finalize.tokens = 300;
        finalize.head_dim = 64;
        finalize.out = out.mutable_view();
        finalize.lse = {lse.mutable_view().data, 600, 300, 1};

        const attend_task task = blocks.task();
        test::run(task, kernel);
        finalize.state = task.queries[0].state;
        openmp::finalize(finalize, 2);

        const double o_limit = type == data_type::bf16  ? 3e-3
                               : type == data_type::f16 ? 4e-4
                                                        : 1e-6;
        const double lse_limit = bytes_of(type) == 2 ? 1e-5 : 2e-6;
        EXPECT_LE(test::relative_error(out.values(), expected.o), o_limit) << kernel.name;
        EXPECT_LE(test::max_scaled_error(lse.values(), expected.lse), lse_limit) << kernel.name;
    }
}
INSTANTIATE_TEST_SUITE_P(All, Output,
                         ::testing::Combine(::testing::ValuesIn(all_types),
                                            ::testing::ValuesIn(all_masks)));

class Blocks : public ::testing::TestWithParam<std::tuple<data_type, mask_rule, test::layout>> {};
TEST_P(Blocks, UnequalListsOfBlocksAreExact) {
    const auto [type, mask, order] = GetParam();
    problem p = test::make_problem(type, mask, 420, 610, 40);
    p.heads = 2;
    p.kv_heads = 1;
    const attention_inputs x(p, order);
    expect_accurate(x, {128, 292}, {256, 354});
    expect_accurate(x, {1, 63, 64, 65, 127, 10, 90}, {300, 1, 31, 33, 129, 16, 100});
}
INSTANTIATE_TEST_SUITE_P(All, Blocks,
                         ::testing::Combine(::testing::ValuesIn(all_types),
                                            ::testing::ValuesIn(all_masks),
                                            ::testing::Values(test::layout::bhnd,
                                                              test::layout::bnhd,
                                                              test::layout::packed)));

class Heads : public ::testing::TestWithParam<std::tuple<data_type, std::int64_t, test::layout>> {};
TEST_P(Heads, ShareKeysAndValuesInGroups) {
    const auto [type, group, order] = GetParam();
    problem p = test::make_problem(type, mask_rule::causal_top_left, 90, 90, 24);
    p.batch = 3;
    p.heads = 8;
    p.kv_heads = p.heads / group;
    const attention_inputs x(p, order);
    expect_accurate(x, {50, 40}, {30, 60});
}
INSTANTIATE_TEST_SUITE_P(All, Heads,
                         ::testing::Combine(::testing::ValuesIn(all_types),
                                            ::testing::Values(1, 4, 8),
                                            ::testing::Values(test::layout::bhnd,
                                                              test::layout::bnhd,
                                                              test::layout::packed)));

class Scale : public ::testing::TestWithParam<std::tuple<data_type, double>> {};
TEST_P(Scale, MayBeNegativeOrZero) {
    const auto [type, scale] = GetParam();
    attention_inputs x(test::make_problem(type, mask_rule::causal_top_left, 100, 100, 33));
    x.scale = scale;
    expect_accurate(x, {100}, {100});
}
INSTANTIATE_TEST_SUITE_P(All, Scale,
                         ::testing::Combine(::testing::ValuesIn(all_types),
                                            ::testing::Values(0.0, -0.2, 0.7)));

TEST(Soak, LongSequencesAreExact) {
    if (std::getenv("CQSA_SOAK") == nullptr) {
        GTEST_SKIP() << "takes minutes: set CQSA_SOAK=1";
    }
    for (const data_type type : all_types) {
        for (const mask_rule mask : all_masks) {
            problem p = test::make_problem(type, mask, 8200, 16500, 64);
            p.heads = 2;
            p.kv_heads = 1;
            const attention_inputs x(p);
            expect_accurate(x, {4096, 4104}, {8192, 8000, 308});
        }
    }
}

} // namespace
} // namespace cqsa
