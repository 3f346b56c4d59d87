// SPDX-License-Identifier: Apache-2.0
#include "tests/support/blocked_attention.hpp"
#include "tests/support/error_norm.hpp"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>

namespace cqsa {
namespace {

using test::BlockedAttention;
using test::Tensor;

struct inputs {
    problem p;
    Tensor q, k, v;
    double scale;
};

inputs make_inputs(data_type type, mask_rule mask, std::int64_t tokens, std::int64_t kv_tokens,
                   test::layout order = test::layout::bhnd) {
    problem p;
    p.batch = 2;
    p.heads = 4;
    p.kv_heads = 2;
    p.tokens = tokens;
    p.kv_tokens = kv_tokens;
    p.head_dim = 24;
    p.type = type;
    p.mask = mask;
    return {p, Tensor::random(type, p.batch, p.heads, tokens, p.head_dim, 1, order),
            Tensor::random(type, p.batch, p.kv_heads, kv_tokens, p.head_dim, 2, order),
            Tensor::random(type, p.batch, p.kv_heads, kv_tokens, p.head_dim, 3, order),
            1 / std::sqrt(24.0)};
}

class AttendReference
    : public ::testing::TestWithParam<std::tuple<data_type, mask_rule, test::layout>> {};

TEST_P(AttendReference, EqualsTheDefinitionOverUnequalBlocks) {
    const auto [type, mask, order] = GetParam();
    const inputs x = make_inputs(type, mask, 45, 61, order);
    BlockedAttention blocks(x.p, x.scale, {20, 1, 24}, {7, 33, 21});
    blocks.bind(x.q.view(), x.k.view(), x.v.view());

    reference::attend(blocks.task());

    const auto expected = test::attention_oracle(x.p, x.scale, x.q, x.k, x.v);
    const auto result = blocks.result();
    // Float64 inside; only what is stored is rounded to the state's type.
    const double tolerance = type == data_type::f64 ? 1e-14 : 6e-8;
    EXPECT_LE(test::relative_error(result.acc, expected.acc), tolerance);
    EXPECT_LE(test::relative_error(result.m, expected.m), tolerance);
    EXPECT_LE(test::relative_error(result.l, expected.l), tolerance);
}

INSTANTIATE_TEST_SUITE_P(
    All, AttendReference,
    ::testing::Combine(::testing::Values(data_type::f16, data_type::bf16, data_type::f32,
                                         data_type::f64),
                       ::testing::Values(mask_rule::none, mask_rule::causal_top_left,
                                         mask_rule::causal_bottom_right),
                       ::testing::Values(test::layout::bhnd, test::layout::packed)));

TEST(AttendReferenceState, ContinuesWhereTheLastTaskStopped) {
    const inputs x = make_inputs(data_type::f64, mask_rule::causal_top_left, 40, 40);
    BlockedAttention blocks(x.p, x.scale, {16, 24}, {10, 30});
    blocks.bind(x.q.view(), x.k.view(), x.v.view());

    reference::attend(blocks.task({0, 1}, {1}));
    reference::attend(blocks.task({0, 1}, {0}));

    const auto expected = test::attention_oracle(x.p, x.scale, x.q, x.k, x.v);
    EXPECT_LE(test::relative_error(blocks.result().o, expected.o), 1e-14);
    EXPECT_LE(test::max_scaled_error(blocks.result().lse, expected.lse), 1e-14);
}

TEST(AttendReferenceState, RowsThatSeeNoKeyStayEmpty) {
    const inputs x = make_inputs(data_type::f32, mask_rule::causal_bottom_right, 30, 10);
    BlockedAttention blocks(x.p, x.scale, {30}, {10});
    blocks.bind(x.q.view(), x.k.view(), x.v.view());

    reference::attend(blocks.task());

    const auto result = blocks.result();
    EXPECT_EQ(result.m[0], -std::numeric_limits<double>::infinity());
    EXPECT_EQ(result.l[19], 0);
    EXPECT_EQ(result.acc[19 * 24], 0);
    EXPECT_GT(result.l[20], 0);
}

} // namespace
} // namespace cqsa
