// SPDX-License-Identifier: Apache-2.0
#include "codelets/finalize/finalize.hpp"
#include "codelets/state.hpp"
#include "tests/support/error_norm.hpp"
#include "tests/support/tensor.hpp"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <tuple>
#include <vector>

namespace cqsa {
namespace {

using test::Tensor;

class FinalizeOpenmp
    : public ::testing::TestWithParam<std::tuple<data_type, data_type, test::layout>> {};

TEST_P(FinalizeOpenmp, EqualsTheReference) {
    const data_type type = std::get<0>(GetParam());
    const data_type out_type = std::get<1>(GetParam());
    const test::layout order = std::get<2>(GetParam());
    problem p;
    p.type = type;
    p.batch = 2;
    p.heads = 3;
    p.head_dim = 37;
    constexpr std::int64_t tokens = 50;
    const data_type real = state_type(type);
    const std::int64_t rows = p.batch * p.heads * tokens;
    const state_layout layout(p, tokens);
    std::vector<std::byte> buffer(layout.bytes());
    const state_view state = layout.view(buffer.data());
    for (std::int64_t r = 0; r < rows; ++r) {
        const bool empty = r % 7 == 0;
        write_element(real, state.m, r, empty ? -INFINITY : 5 * test::normal(1, r));
        write_element(real, state.l, r, empty ? 0 : 1 + test::uniform(2, r));
        for (std::int64_t e = 0; e < p.head_dim; ++e) {
            write_element(real, state.acc, r * p.head_dim + e,
                          empty ? 0 : test::normal(3, r * p.head_dim + e));
        }
    }
    Tensor out(out_type, p.batch, p.heads, tokens, p.head_dim, order);
    Tensor expected(out_type, p.batch, p.heads, tokens, p.head_dim, order);
    Tensor lse(real, p.batch, tokens, p.heads, 1); // transposed rows
    Tensor expected_lse(real, p.batch, tokens, p.heads, 1);
    const auto task_into = [&](Tensor& o, Tensor& rows_out) {
        finalize_task task;
        task.type = type;
        task.out_type = out_type;
        task.batch = p.batch;
        task.heads = p.heads;
        task.tokens = tokens;
        task.head_dim = p.head_dim;
        task.state = state;
        task.out = o.mutable_view();
        task.lse = {rows_out.mutable_view().data, tokens * p.heads, 1, p.heads};
        return task;
    };

    reference::finalize(task_into(expected, expected_lse));
    openmp::finalize(task_into(out, lse), 3);

    // One rounding to the output's type, two before it in the state's.
    const double half_unit = out_type == data_type::bf16  ? 0x1p-8
                             : out_type == data_type::f16 ? 0x1p-11
                             : out_type == data_type::f32 ? 0x1p-23
                                                          : 0;
    const double limit = half_unit + (real == data_type::f64 ? 0x1p-52 : 0x1p-22);
    EXPECT_LE(test::relative_error(out.values(), expected.values()), limit);
    EXPECT_LE(test::max_scaled_error(lse.values(), expected_lse.values()),
              real == data_type::f64 ? 0x1p-51 : 0x1p-22);
    EXPECT_EQ(out.get(0, 0, 0, 5), 0);
    EXPECT_EQ(lse.get(0, 0, 0, 0), -std::numeric_limits<double>::infinity());
}

INSTANTIATE_TEST_SUITE_P(All, FinalizeOpenmp,
                         ::testing::Combine(::testing::Values(data_type::f16, data_type::f64),
                                            ::testing::Values(data_type::f16, data_type::bf16,
                                                              data_type::f32, data_type::f64),
                                            ::testing::Values(test::layout::bhnd,
                                                              test::layout::bnhd,
                                                              test::layout::packed)));

TEST(FinalizeOpenmpState, FreshIsNotReadAndLseMayBeUnwanted) {
    std::vector<float> poison(2, std::numeric_limits<float>::quiet_NaN());
    std::vector<float> out{9, 9};
    finalize_task task;
    task.tokens = 1;
    task.head_dim = 2;
    task.state = {poison.data(), poison.data(), poison.data()};
    task.fresh = true;
    task.out = {out.data(), 2, 2, 2};

    openmp::finalize(task, 2);

    EXPECT_EQ(out, (std::vector<float>{0, 0}));
}

} // namespace
} // namespace cqsa
