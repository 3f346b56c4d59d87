// SPDX-License-Identifier: Apache-2.0
#include "codelets/merge/merge.hpp"
#include "tests/cuda/device.hpp"
#include "tests/support/error_norm.hpp"

#include <cmath>
#include <limits>
#include <ostream>

namespace cqsa {
namespace {

using test::DeviceAttention;
using test::Tensor;

struct edge_case {
    data_type type;
    std::int64_t head_dim;
};

std::ostream& operator<<(std::ostream& out, const edge_case& tested) {
    return out << name_of(tested.type) << "_d" << tested.head_dim;
}

class AttendCudaEdge : public test::GpuTest<::testing::TestWithParam<edge_case>> {
  protected:
    const data_type type = GetParam().type;
    const std::int64_t dim = GetParam().head_dim;

    problem make_problem(std::int64_t tokens, std::int64_t kv_tokens, mask_rule mask) {
        problem p;
        p.heads = p.kv_heads = 2;
        p.tokens = tokens;
        p.kv_tokens = kv_tokens;
        p.head_dim = dim;
        p.type = type;
        p.mask = mask;
        return p;
    }
    Tensor random(std::int64_t tokens, std::uint64_t seed) {
        return Tensor::random(type, 1, 2, tokens, dim, seed);
    }
};

constexpr double scale = 0.125;

TEST_P(AttendCudaEdge, RowsThatSeeNoKeyStayEmpty) {
    const problem p = make_problem(300, 100, mask_rule::causal_bottom_right);
    const Tensor q = random(300, 1);
    const Tensor k = random(100, 2);
    const Tensor v = random(100, 3);
    DeviceAttention x(p, scale, q, k, v, {150, 150}, {100});

    test::run_attend(x.blocks().task());

    const auto result = x.result();
    const auto expected = test::attention_oracle(p, scale, q, k, v);
    EXPECT_EQ(result.m[199], -std::numeric_limits<double>::infinity());
    EXPECT_EQ(result.l[199], 0);
    EXPECT_EQ(result.acc[199 * dim], 0);
    EXPECT_LE(test::relative_error(result.o, expected.o), test::tolerances_of(type).acc);
}

TEST_P(AttendCudaEdge, ABlockWithoutKeysKeepsItsState) {
    const problem p = make_problem(100, 300, mask_rule::causal_top_left);
    const Tensor q = random(100, 1);
    const Tensor k = random(300, 2);
    const Tensor v = random(300, 3);
    DeviceAttention x(p, scale, q, k, v, {100}, {100, 200});
    test::run_attend(x.blocks().task({0}, {0}));
    const auto before = x.state(0).content();

    test::run_attend(x.blocks().task({0}, {1}));

    EXPECT_EQ(x.state(0).content(), before);
}

TEST_P(AttendCudaEdge, LogitsOfAHundredThousandStayExact) {
    // Small integers: every score is exact in f32, so only the weights' rounding is left.
    const problem p = make_problem(200, 500, mask_rule::none);
    Tensor q = random(200, 1);
    Tensor k = random(500, 2);
    const Tensor v = random(500, 3);
    for (Tensor* x : {&q, &k}) {
        for (std::int64_t h = 0; h < 2; ++h) {
            for (std::int64_t t = 0; t < x->tokens(); ++t) {
                for (std::int64_t e = 0; e < dim; ++e) {
                    x->set(0, h, t, e, std::round(30 * x->get(0, h, t, e)));
                }
            }
        }
    }
    const double large = 14;
    DeviceAttention x(p, large, q, k, v, {200}, {100, 400});

    test::run_attend(x.blocks().task({0}, {0}));
    test::run_attend(x.blocks().task({0}, {1}));

    const auto result = x.result();
    const auto expected = test::attention_oracle(p, large, q, k, v);
    EXPECT_GT(*std::ranges::max_element(expected.m), 1e5);
    EXPECT_LE(test::relative_error(result.o, expected.o), test::tolerances_of(type).acc);
    EXPECT_LE(test::max_scaled_error(result.lse, expected.lse), 2e-7);
}

TEST_P(AttendCudaEdge, MaximaThatClimbKeyByKeyStayExact) {
    // Scores are integers, exact in f32, and rise from −2^e to 2^e: a maximum by less than a power
    // of two a tile, or by hundreds.
    for (const int e : {3, 8, 13}) {
        const problem p = make_problem(400, 3000, mask_rule::none);
        const Tensor v = random(3000, 3);
        Tensor q(type, 1, 2, 400, dim);
        Tensor k(type, 1, 2, 3000, dim);
        for (std::int64_t h = 0; h < 2; ++h) {
            for (std::int64_t x = 0; x < dim; ++x) {
                for (std::int64_t t = 0; t < 400; ++t)
                    q.set(0, h, t, x, x == 0 ? static_cast<double>(1 + t % 3) : 0);
                for (std::int64_t t = 0; t < 3000; ++t)
                    k.set(0, h, t, x,
                          x == 0 ? std::round(std::ldexp(static_cast<double>(t) / 1500 - 1, e))
                                 : 0);
            }
        }
        DeviceAttention x(p, 1, q, k, v, {400}, {1000, 2000});

        test::run_attend(x.blocks().task());

        const auto result = x.result();
        const auto expected = test::attention_oracle(p, 1, q, k, v);
        EXPECT_LE(test::relative_error(result.o, expected.o), test::tolerances_of(type).acc);
        EXPECT_LE(test::max_scaled_error(result.m, expected.m), 2e-7);
        EXPECT_LE(test::max_scaled_error(result.lse, expected.lse), 1e-5);
    }
}

TEST_P(AttendCudaEdge, AnOddNumberOfRowTilesIsRight) {
    // 67 tiles of 192 rows, 101 of 128: so many that pairs are worked and one tile is for nothing.
    for (const std::int64_t tokens : {67 * 192, 101 * 128 - 5}) {
        const problem p = make_problem(tokens, 100, mask_rule::none);
        const Tensor q = random(tokens, 1);
        const Tensor k = random(100, 2);
        const Tensor v = random(100, 3);
        DeviceAttention x(p, scale, q, k, v, {tokens}, {60, 40});
        test::run_attend(x.blocks().task({0}, {0}));
        test::run_attend(x.blocks().task({0}, {1}));

        const auto result = x.result();
        const auto expected = test::attention_oracle(p, scale, q, k, v);
        EXPECT_LE(test::relative_error(result.o, expected.o), test::tolerances_of(type).acc);
        EXPECT_LE(test::max_scaled_error(result.lse, expected.lse), 1e-5);
    }
}

TEST_P(AttendCudaEdge, ANaNInAQueryStaysInItsRow) {
    const problem p = make_problem(200, 200, mask_rule::none);
    Tensor q = random(200, 1);
    const Tensor k = random(200, 2);
    const Tensor v = random(200, 3);
    const auto expected = test::attention_oracle(p, scale, q, k, v);
    q.set(0, 1, 77, 5, std::numeric_limits<double>::quiet_NaN());
    DeviceAttention x(p, scale, q, k, v, {200}, {200});

    test::run_attend(x.blocks().task());

    const auto result = x.result();
    for (std::int64_t row = 0; row < 400; ++row) {
        const bool poisoned = row == 277;
        EXPECT_EQ(std::isnan(result.o[row * dim + 3]), poisoned) << "row " << row;
        EXPECT_EQ(std::isnan(result.l[row]), poisoned) << "row " << row;
    }
    EXPECT_LE(test::relative_error(std::span(result.o).first(dim * 277),
                                   std::span(expected.o).first(dim * 277)),
              test::tolerances_of(type).acc);
}

TEST_P(AttendCudaEdge, ANaNInAKeyReachesOnlyRowsThatSeeIt) {
    const problem p = make_problem(600, 600, mask_rule::causal_top_left);
    const Tensor q = random(600, 1);
    Tensor k = random(600, 2);
    const Tensor v = random(600, 3);
    k.set(0, 0, 450, 9, std::numeric_limits<double>::quiet_NaN());
    DeviceAttention x(p, scale, q, k, v, {600}, {600});

    test::run_attend(x.blocks().task());

    const auto result = x.result();
    for (std::int64_t row = 0; row < 600; ++row) {
        EXPECT_EQ(std::isnan(result.o[row * dim]), row >= 450) << "row " << row;
        EXPECT_FALSE(std::isnan(result.o[(600 + row) * dim])) << "head 1, row " << row;
    }
}

TEST_P(AttendCudaEdge, NothingBeyondABlockIsReadOrWritten) {
    // The tensors go on with NaN after the blocks, and so does the memory behind the state.
    const problem p = make_problem(100, 150, mask_rule::none);
    const auto padded = [&](std::int64_t tokens, std::uint64_t seed) {
        const Tensor content = random(tokens, seed);
        Tensor x(type, 1, 2, tokens + 100, dim);
        for (std::int64_t h = 0; h < 2; ++h) {
            for (std::int64_t t = 0; t < tokens; ++t) {
                for (std::int64_t e = 0; e < dim; ++e) {
                    x.set(0, h, t, e, content.get(0, h, t, e));
                }
            }
        }
        return x;
    };
    const auto expected =
        test::attention_oracle(p, scale, random(100, 1), random(150, 2), random(150, 3));
    DeviceAttention x(p, scale, padded(100, 1), padded(150, 2), padded(150, 3), {100}, {150});
    const state_layout layout(p, 100);
    const test::DeviceBuffer guarded(layout.bytes() + 4096);
    x.blocks().set_state(0, guarded.data());

    test::run_attend(x.blocks().task());

    const auto content = guarded.content();
    const auto result = x.blocks().result({content.data()});
    EXPECT_LE(test::relative_error(result.o, expected.o), test::tolerances_of(type).acc);
    for (std::size_t i = layout.bytes(); i < content.size(); ++i) {
        ASSERT_EQ(content[i], std::byte{0xff});
    }
}

TEST_P(AttendCudaEdge, HundredLaunchesGiveTheSameBits) {
    for (const auto mask : {mask_rule::none, mask_rule::causal_top_left}) {
        const problem p = make_problem(2500, 2500, mask);
        const Tensor q = random(2500, 1);
        const Tensor k = random(2500, 2);
        const Tensor v = random(2500, 3);
        DeviceAttention first(p, scale, q, k, v, {2500}, {2500});
        test::run_attend(first.blocks().task());
        const auto bits = first.state(0).content();
        DeviceAttention x(p, scale, q, k, v, {2500}, {2500});
        attend_task task = x.blocks().task();
        const auto workspace = test::DeviceBuffer::workspace(cuda::attend_workspace_bytes(task, 0));
        for (int i = 1; i < 100; ++i) {
            cuda::attend(task, workspace.span(), nullptr);
            ASSERT_EQ(x.state(0).content(), bits) << "launch " << i;
        }
    }
}

TEST_P(AttendCudaEdge, PartialStatesMergeToTheWhole) {
    const problem p = make_problem(300, 700, mask_rule::causal_bottom_right);
    const Tensor q = random(300, 1);
    const Tensor k = random(700, 2);
    const Tensor v = random(700, 3);
    DeviceAttention left(p, scale, q, k, v, {300}, {333, 367});
    DeviceAttention right(p, scale, q, k, v, {300}, {333, 367});
    test::run_attend(left.blocks().task({0}, {0}));
    test::run_attend(right.blocks().task({0}, {1}));

    const state_layout layout(p, 300);
    cuda::merge({.type = p.type,
                 .rows = 600,
                 .head_dim = dim,
                 .into = layout.view(left.state(0).data()),
                 .from = layout.view(right.state(0).data())},
                nullptr);

    const auto result = left.result();
    const auto expected = test::attention_oracle(p, scale, q, k, v);
    EXPECT_LE(test::relative_error(result.o, expected.o), test::tolerances_of(type).acc);
    EXPECT_LE(test::max_scaled_error(result.lse, expected.lse), 1e-6);
}

TEST_P(AttendCudaEdge, ScalesOfZeroAndBelowWork) {
    const problem p = make_problem(100, 200, mask_rule::none);
    const Tensor q = random(100, 1);
    const Tensor k = random(200, 2);
    const Tensor v = random(200, 3);
    for (const double s : {0.0, -0.3}) {
        DeviceAttention x(p, s, q, k, v, {100}, {60, 140});
        test::run_attend(x.blocks().task({0}, {0}));
        test::run_attend(x.blocks().task({0}, {1}));
        const auto expected = test::attention_oracle(p, s, q, k, v);
        EXPECT_LE(test::relative_error(x.result().o, expected.o), test::tolerances_of(type).acc);
        EXPECT_LE(test::max_scaled_error(x.result().lse, expected.lse), 4e-6);
    }
}

INSTANTIATE_TEST_SUITE_P(
    Types, AttendCudaEdge,
    ::testing::Values(edge_case{data_type::f16, 64}, edge_case{data_type::bf16, 64},
                      edge_case{data_type::f32, 64}, edge_case{data_type::f16, 128},
                      edge_case{data_type::bf16, 128}, edge_case{data_type::f16, 256}),
    [](const auto& tested) { return ::testing::PrintToString(tested.param); });

class AttendCudaSupport : public test::GpuTest<> {};

TEST_F(AttendCudaSupport, SaysWhatIsMissing) {
    attend_task task;
    task.type = data_type::f64;
    task.head_dim = 64;
    EXPECT_NE(cuda::attend_unsupported(task, 0).find("f64"), std::string::npos);
    task.type = data_type::f16;
    EXPECT_EQ(cuda::attend_unsupported(task, 0), "");
    task.head_dim = 257;
    EXPECT_NE(cuda::attend_unsupported(task, 0).find("257"), std::string::npos);
}

TEST_F(AttendCudaSupport, IsRightWithTheLeastWorkspace) {
    problem p;
    p.heads = p.kv_heads = 2;
    p.tokens = p.kv_tokens = 1000;
    p.head_dim = 64;
    p.type = data_type::f16;
    const Tensor q = Tensor::random(p.type, 1, 2, 1000, 64, 1);
    const Tensor k = Tensor::random(p.type, 1, 2, 1000, 64, 2);
    DeviceAttention attention(p, scale, q, k, k, {1000}, {1000});
    const attend_task task = attention.blocks().task();
    const auto workspace = test::DeviceBuffer::workspace(cuda::attend_workspace_minimum);

    cuda::attend(task, workspace.span(), nullptr);
    cudaDeviceSynchronize();

    EXPECT_LE(cuda::attend_workspace_bytes(task, 0),
              cuda::attend_workspace_limit(task, cuda::kind_of(0)));
    EXPECT_LE(test::relative_error(attention.result().o, attention_oracle(p, scale, q, k, k).o),
              4e-4);
}

TEST_F(AttendCudaSupport, RefusesAWorkspaceThatIsTooSmall) {
    problem p;
    p.heads = p.kv_heads = 2;
    p.tokens = p.kv_tokens = 1000;
    p.head_dim = 64;
    p.type = data_type::f16;
    const Tensor x = Tensor::random(p.type, 1, 2, 1000, 64, 1);
    DeviceAttention attention(p, scale, x, x, x, {1000}, {1000});
    const attend_task task = attention.blocks().task();
    if (cuda::attend_workspace_bytes(task, 0) == 0) {
        GTEST_SKIP() << "The kernel for this GPU needs no workspace.";
    }
    EXPECT_THROW(cuda::attend(task, {}, nullptr), Error);
}

} // namespace
} // namespace cqsa
