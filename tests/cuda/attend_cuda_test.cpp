// SPDX-License-Identifier: Apache-2.0
#include "tests/cuda/device.hpp"
#include "tests/support/error_norm.hpp"

#include <cmath>
#include <string>
#include <tuple>
#include <vector>

namespace cqsa {
namespace {

using test::DeviceAttention;
using test::Tensor;

struct shape {
    std::int64_t batch, heads, kv_heads;
    std::vector<std::int64_t> queries, keys;
    mask_rule mask;
};

std::int64_t sum(const std::vector<std::int64_t>& x) {
    return std::accumulate(x.begin(), x.end(), std::int64_t{0});
}

problem problem_of(data_type type, std::int64_t head_dim, const shape& s) {
    problem p;
    p.batch = s.batch;
    p.heads = s.heads;
    p.kv_heads = s.kv_heads;
    p.tokens = sum(s.queries);
    p.kv_tokens = sum(s.keys);
    p.head_dim = head_dim;
    p.type = type;
    p.mask = s.mask;
    return p;
}

void expect_close(const test::attention_values& x, const test::attention_values& expected,
                  data_type type) {
    const auto [acc, sum] = test::tolerances_of(type);
    EXPECT_LE(test::relative_error(x.o, expected.o), acc);
    EXPECT_LE(test::relative_error(x.m, expected.m), sum);
    EXPECT_LE(test::relative_error(x.l, expected.l), sum);
    EXPECT_LE(test::relative_error(x.acc, expected.acc), acc);
    EXPECT_LE(test::max_scaled_error(x.lse, expected.lse), 4 * sum);
}

/// One launch over all blocks, and one launch per key block, against the oracle.
void check_shape(data_type type, std::int64_t head_dim, const shape& s,
                 test::layout order = test::layout::bhnd) {
    const problem p = problem_of(type, head_dim, s);
    const double scale = 1 / std::sqrt(static_cast<double>(head_dim));
    const auto random = [&](std::int64_t heads, std::int64_t tokens, std::uint64_t seed) {
        return Tensor::random(type, s.batch, heads, tokens, head_dim, seed, order);
    };
    const Tensor q = random(s.heads, p.tokens, 1);
    const Tensor k = random(s.kv_heads, p.kv_tokens, 2);
    const Tensor v = random(s.kv_heads, p.kv_tokens, 3);
    const auto expected = test::attention_oracle(p, scale, q, k, v);

    DeviceAttention once(p, scale, q, k, v, s.queries, s.keys);
    test::run_attend(once.blocks().task());
    {
        SCOPED_TRACE("in one launch");
        expect_close(once.result(), expected, type);
    }
    if (s.keys.size() > 1 && s.keys.size() < 8) {
        DeviceAttention resumed(p, scale, q, k, v, s.queries, s.keys);
        std::vector<std::int64_t> all(s.queries.size());
        std::iota(all.begin(), all.end(), 0);
        for (std::int64_t j = 0; j < resumed.blocks().key_blocks(); ++j) {
            test::run_attend(resumed.blocks().task(all, {j}));
        }
        SCOPED_TRACE("resumed key block by key block");
        expect_close(resumed.result(), expected, type);
    }
}

class AttendCuda
    : public test::GpuTest<::testing::TestWithParam<std::tuple<data_type, std::int64_t>>> {};

TEST_P(AttendCuda, EqualsTheOracleAtEveryLengthAroundATile) {
    const auto [type, head_dim] = GetParam();
    for (const auto mask : {mask_rule::none, mask_rule::causal_top_left}) {
        for (const std::int64_t n : {1, 63, 64, 65, 79, 81, 127, 128, 129, 191, 192, 193}) {
            SCOPED_TRACE("tokens " + std::to_string(n) + " mask " +
                         std::to_string(static_cast<int>(mask)));
            check_shape(type, head_dim, {1, 2, 2, {n}, {n}, mask});
        }
    }
}

TEST_P(AttendCuda, EqualsTheOracleOverListsOfBlocks) {
    const auto [type, head_dim] = GetParam();
    for (const auto mask :
         {mask_rule::none, mask_rule::causal_top_left, mask_rule::causal_bottom_right}) {
        SCOPED_TRACE("mask " + std::to_string(static_cast<int>(mask)));
        check_shape(type, head_dim, {2, 4, 1, {100, 1, 199}, {64, 130, 1, 56, 90}, mask});
        check_shape(type, head_dim, {1, 8, 8, {70, 30}, {7, 150, 20}, mask}, test::layout::bnhd);
        check_shape(type, head_dim, {2, 2, 2, {65}, {300}, mask}, test::layout::packed);
    }
}

// Launches of two strips in turn, with nothing between them on the stream: each begins while the
// one before it ends, and finds the state of the one before that.
TEST_P(AttendCuda, LaunchesThatOverlapAddUpToTheSameBits) {
    const auto [type, head_dim] = GetParam();
    const shape s{1, 2, 1, {700, 450}, {300, 150, 64, 500}, mask_rule::causal_top_left};
    const problem p = problem_of(type, head_dim, s);
    const double scale = 1 / std::sqrt(static_cast<double>(head_dim));
    const Tensor q = Tensor::random(type, 1, s.heads, p.tokens, head_dim, 1);
    const Tensor k = Tensor::random(type, 1, s.kv_heads, p.kv_tokens, head_dim, 2);
    const Tensor v = Tensor::random(type, 1, s.kv_heads, p.kv_tokens, head_dim, 3);
    const auto expected = test::attention_oracle(p, scale, q, k, v);
    std::vector<std::byte> bits;
    for (int repetition = 0; repetition < 8; ++repetition) {
        DeviceAttention x(p, scale, q, k, v, s.queries, s.keys);
        const auto workspace = test::DeviceBuffer::workspace(
            cuda::attend_workspace_limit(x.blocks().task({}, {}), cuda::kind_of(0)));
        cudaStream_t stream = nullptr;
        cuda::check(cudaStreamCreate(&stream), "creating a stream");
        for (std::int64_t j = 0; j < x.blocks().key_blocks(); ++j) {
            for (const std::int64_t i : {0, 1}) {
                attend_task task = x.blocks().task({i}, {j});
                task.followed = repetition < 4;
                cuda::attend(task, workspace.span(), stream);
            }
        }
        cuda::check(cudaStreamSynchronize(stream), "attend");
        cuda::check(cudaStreamDestroy(stream), "destroying a stream");
        if (repetition % 4 == 0) {
            expect_close(x.result(), expected, type);
            bits = x.state(0).content();
        }
        ASSERT_EQ(x.state(0).content(), bits) << "repetition " << repetition;
    }
}

INSTANTIATE_TEST_SUITE_P(All, AttendCuda,
                         ::testing::Combine(::testing::Values(data_type::f16, data_type::bf16,
                                                              data_type::f32),
                                            ::testing::Values(24, 32, 64, 80, 96, 128, 192, 256)),
                         [](const auto& x) {
                             return std::string(name_of(std::get<0>(x.param))) + "_d" +
                                    std::to_string(std::get<1>(x.param));
                         });

class AttendCudaLong : public test::GpuTest<::testing::TestWithParam<data_type>> {};

TEST_P(AttendCudaLong, EqualsTheOracleOverManyTiles) {
    for (const auto mask : {mask_rule::none, mask_rule::causal_top_left}) {
        check_shape(GetParam(), 64, {1, 2, 1, {1000}, {1000}, mask});
        check_shape(GetParam(), 128, {1, 1, 1, {600, 700}, {1300}, mask});
    }
    check_shape(GetParam(), 64, {1, 1, 1, {4096}, {4096}, mask_rule::causal_top_left});
}

TEST_P(AttendCudaLong, CutsListsLongerThanALaunchHolds) {
    const std::vector<std::int64_t> queries(70, 3);
    const std::vector<std::int64_t> keys(95, 2);
    check_shape(GetParam(), 64, {1, 2, 2, queries, keys, mask_rule::none});
    check_shape(GetParam(), 64, {1, 2, 2, queries, keys, mask_rule::causal_top_left});
}

TEST_P(AttendCudaLong, TakesAnyStrideAndHeadDim) {
    for (const std::int64_t head_dim : {1, 7, 20, 50}) {
        SCOPED_TRACE("head_dim " + std::to_string(head_dim));
        check_shape(GetParam(), head_dim, {2, 2, 1, {70}, {90, 41}, mask_rule::causal_bottom_right},
                    test::layout::packed);
    }
}

INSTANTIATE_TEST_SUITE_P(Types, AttendCudaLong,
                         ::testing::Values(data_type::f16, data_type::bf16, data_type::f32),
                         [](const auto& x) { return std::string(name_of(x.param)); });

} // namespace
} // namespace cqsa
