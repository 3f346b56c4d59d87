// SPDX-License-Identifier: Apache-2.0
#include "codelets/merge/merge.hpp"
#include "tests/support/special_values.hpp"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <vector>

namespace cqsa {
namespace {

using test::infinity;
using test::not_a_number;

struct state {
    std::vector<double> acc, m, l;
    state_view view() { return {acc.data(), m.data(), l.data()}; }
};

merge_task merge_of(state& into, state& from) {
    merge_task task;
    task.type = data_type::f64;
    task.rows = static_cast<std::int64_t>(into.m.size());
    task.head_dim = static_cast<std::int64_t>(into.acc.size()) / task.rows;
    task.into = into.view();
    task.from = from.view();
    return task;
}

TEST(MergeReference, WeighsBothByTheLargerMaximum) {
    state a{{2, 4}, {std::log(2.0)}, {3}};
    state b{{1, 5}, {std::log(8.0)}, {7}};

    reference::merge(merge_of(a, b));

    EXPECT_DOUBLE_EQ(a.m[0], std::log(8.0));
    EXPECT_DOUBLE_EQ(a.l[0], 7 + 3.0 / 4);
    EXPECT_DOUBLE_EQ(a.acc[0], 1 + 2.0 / 4);
    EXPECT_DOUBLE_EQ(a.acc[1], 5 + 4.0 / 4);
}

TEST(MergeReference, EmptyStatesChangeNothing) {
    state a{{0, 3, 0}, {-infinity, 1e5, -infinity}, {0, 2, 0}};
    state b{{7, 0, 0}, {-1e5, -infinity, -infinity}, {1, 0, 0}};

    reference::merge(merge_of(a, b));

    EXPECT_EQ(a.m, (std::vector<double>{-1e5, 1e5, -infinity}));
    EXPECT_EQ(a.l, (std::vector<double>{1, 2, 0}));
    EXPECT_EQ(a.acc, (std::vector<double>{7, 3, 0}));
}

TEST(MergeReference, FreshTargetBecomesACopyWithoutBeingRead) {
    state a{
        {not_a_number, not_a_number}, {not_a_number, not_a_number}, {not_a_number, not_a_number}};
    state b{{7, 0}, {3, -infinity}, {1, 0}};
    merge_task task = merge_of(a, b);
    task.fresh = true;

    reference::merge(task);

    EXPECT_EQ(a.m, b.m);
    EXPECT_EQ(a.l, b.l);
    EXPECT_EQ(a.acc, b.acc);
}

TEST(MergeReference, NanStaysInItsRow) {
    state a{{1, 1}, {not_a_number, 0}, {1, 1}};
    state b{{1, 1}, {0, 0}, {1, 1}};

    reference::merge(merge_of(a, b));

    EXPECT_TRUE(std::isnan(a.acc[0]));
    EXPECT_TRUE(std::isnan(a.m[0]));
    EXPECT_EQ(a.acc[1], 2);
    EXPECT_EQ(a.l[1], 2);
}

} // namespace
} // namespace cqsa
