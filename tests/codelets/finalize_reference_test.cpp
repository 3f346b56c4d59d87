// SPDX-License-Identifier: Apache-2.0
#include "codelets/finalize/finalize.hpp"
#include "tests/support/special_values.hpp"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <vector>

namespace cqsa {
namespace {

using test::infinity;
using test::not_a_number;

TEST(FinalizeReference, DividesAndTakesTheLogarithmIntoStridedOutputs) {
    // [batch 1, heads 2, tokens 2, head_dim 1], written in the order tokens, heads.
    std::vector<double> acc{2, 3, 0, 8}, m{1, 2, -infinity, 4}, l{2, 1, 0, 4};
    std::vector<double> out(4, 99), lse(4, 99);
    finalize_task task;
    task.type = task.out_type = data_type::f64;
    task.heads = task.tokens = 2;
    task.head_dim = 1;
    task.state = {acc.data(), m.data(), l.data()};
    task.out = {out.data(), 4, 1, 2};
    task.lse = {lse.data(), 4, 1, 2};

    reference::finalize(task);

    EXPECT_EQ(out, (std::vector<double>{1, 0, 3, 2}));
    EXPECT_EQ(lse, (std::vector<double>{1 + std::log(2.0), -infinity, 2, 4 + std::log(4.0)}));
}

TEST(FinalizeReference, FreshStateIsNotRead) {
    std::vector<double> poison{not_a_number, not_a_number}, out{9, 9}, lse{9};
    finalize_task task;
    task.type = task.out_type = data_type::f64;
    task.tokens = 1;
    task.head_dim = 2;
    task.state = {poison.data(), poison.data(), poison.data()};
    task.fresh = true;
    task.out = {out.data(), 2, 2, 2};
    task.lse = {lse.data(), 1, 1, 1};

    reference::finalize(task);

    EXPECT_EQ(out, (std::vector<double>{0, 0}));
    EXPECT_EQ(lse[0], -infinity);
}

} // namespace
} // namespace cqsa
