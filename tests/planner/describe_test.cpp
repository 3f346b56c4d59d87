// SPDX-License-Identifier: Apache-2.0
#include "planner/describe.hpp"
#include "planner/divide.hpp"
#include "random_plan.hpp"

#include <gtest/gtest.h>
#include <sstream>

namespace cqsa::test {
namespace {

TEST(Describe, ShowsACausalDivisionInATableAndAMap) {
    problem problem{.heads = 8, .kv_heads = 2, .tokens = 28'672, .kv_tokens = 28'672};
    problem.head_dim = 64;
    problem.type = problem.out_type = data_type::bf16;
    problem.mask = mask_rule::causal_top_left;
    plan plan = plan_of(problem, 7, 1, 2'048, 4'096);
    plan.difference_set = {0, 1, 3};
    plan.order = task_order::quorum_major;
    plan.flow = state_flow::merged;
    plan.strip_blocks = 2;
    plan.interleave = 2;
    plan.tasks = 1'234;
    plan.merges = 42;
    plan.predicted = {.seconds = 0.0456,
                      .device_bytes = 100 << 20,
                      .host_bytes = 0,
                      .flops = 8.42e11,
                      .h2d_bytes = std::int64_t{3} << 30,
                      .d2h_bytes = 1'000};
    plan.measured_rates = true;

    EXPECT_EQ(describe(plan), R"(queries         1 x 8 heads x 28 672 tokens x 64, bf16
keys            2 heads x 28 672 tokens
mask            causal
division        7 quorums of 3 chunks {0, 1, 3}
order           quorum-major: partial states are merged
chunk           4 096 queries, 4 096 keys
block           2 048 queries (2.00 MiB, state 4.12 MiB), 4 096 keys (2.00 MiB)
strip           4 096 queries, 2 interleaved
segment         4 096 keys
tasks           1 234 attend, 42 merge, 14 finalize
work            842 gigaflop
device memory   100 MiB
host memory     0 B
to the device   3.00 GiB
from the device 1000 B
predicted time  45.6 ms

owner of each pair of a query chunk (row) and a key chunk (column):
      0 1 2 3 4 5 6
   0  0 . . . . . .
   1  0 1 . . . . .
   2  6 1 2 . . . .
   3  0 0 2 3 . . .
   4  4 1 1 3 4 . .
   5  4 5 2 2 4 5 .
   6  6 5 6 3 3 5 6
)");
}

TEST(Describe, NamesChunksAndQuorumsFromTenOnByLetters) {
    problem problem{.tokens = 10'000, .kv_tokens = 10'000, .head_dim = 64};
    problem.mask = mask_rule::causal_top_left;
    const std::string text = describe(plan_of(problem, 13, 1, 100, 100));

    EXPECT_NE(text.find(R"(column),
numbers from 10 on as letters: a is 10, c is 12:
      0 1 2 3 4 5 6 7 8 9 a b c
   0  0 )"),
              std::string::npos)
        << text;
    EXPECT_NE(text.find("\n   c  "), std::string::npos) << text;
}

TEST(Describe, FitsATerminalOfAHundredColumns) {
    std::mt19937_64 random(15);
    for (int draw = 0; draw < 300; ++draw) {
        plan plan = random_plan(random, 2'000'000'000, 200);
        plan.predicted.seconds = 1e6;
        plan.predicted.device_bytes = plan.predicted.h2d_bytes = std::int64_t{1} << 62;
        std::istringstream lines(describe(plan));
        for (std::string line; std::getline(lines, line);) {
            ASSERT_LE(line.size(), 100U) << line;
            for (const char c : line)
                ASSERT_TRUE(c >= ' ' && c <= '~') << line;
        }
    }
}

TEST(Describe, LeavesOutTheMapOfManyChunks) {
    problem problem{.tokens = 10'000, .kv_tokens = 10'000, .head_dim = 64};
    const std::string many = describe(plan_of(problem, 57, 1, 100, 100));
    EXPECT_EQ(many.find("owner of each"), std::string::npos);
    EXPECT_NE(many.find("at most 40 chunks"), std::string::npos);
    EXPECT_NE(describe(plan_of(problem, 31, 1, 100, 100)).find("owner of each"), std::string::npos);
}

TEST(Grouped, PutsSpacesBetweenThousands) {
    EXPECT_EQ(grouped(0), "0");
    EXPECT_EQ(grouped(999), "999");
    EXPECT_EQ(grouped(1'000), "1 000");
    EXPECT_EQ(grouped(123'456), "123 456");
    EXPECT_EQ(grouped(1'048'576), "1 048 576");
    EXPECT_EQ(grouped(-123), "-123");
    EXPECT_EQ(grouped(-1'234), "-1 234");
}

TEST(BytesForPeople, TakesTheLargestUnit) {
    EXPECT_EQ(bytes_for_people(0), "0 B");
    EXPECT_EQ(bytes_for_people(1'023), "1023 B");
    EXPECT_EQ(bytes_for_people(1'024), "1.00 KiB");
    EXPECT_EQ(bytes_for_people((9 << 20) + (1 << 18)), "9.25 MiB");
    EXPECT_EQ(bytes_for_people(std::int64_t{160} << 20), "160 MiB");
    EXPECT_EQ(bytes_for_people(std::int64_t{1} << 62), "4.00 EiB");
}

} // namespace
} // namespace cqsa::test
