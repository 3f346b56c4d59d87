// SPDX-License-Identifier: Apache-2.0
#include "plan_checker.hpp"
#include "planner/error.hpp"
#include "planner/flops.hpp"
#include "planner/step_stream.hpp"
#include "random_plan.hpp"

#include <gtest/gtest.h>
#include <sstream>

namespace cqsa::test {
namespace {

problem causal_problem(std::int64_t tokens) {
    problem problem;
    problem.head_dim = 2;
    problem.tokens = problem.kv_tokens = tokens;
    problem.mask = mask_rule::causal_top_left;
    return problem;
}

/// "01x23" for blocks 0 and 1 over keys 2 and 3, "m0" for a merge, "f0" for a finalize.
std::string compact(const plan& plan) {
    std::ostringstream text;
    step_stream steps(plan);
    while (const auto step = steps.next()) {
        if (text.tellp() > 0) text << ' ';
        if (step->kind == step_kind::merge) text << 'm';
        if (step->kind == step_kind::finalize) text << 'f';
        for (const auto block : step->queries)
            text << block;
        if (step->kind == step_kind::attend) text << 'x';
        for (const auto block : step->keys)
            text << block;
    }
    return text.str();
}

TEST(StepStream, WalksBackAndForthAndAlternatesTheShorterStrip) {
    plan plan = plan_of(causal_problem(8), 1, 1, 1, 1);
    plan.interleave = 2;
    plan.strip_blocks = 2;
    plan.segment_blocks = 2;

    EXPECT_EQ(compact(plan), "45x45 67x45 67x67 45x01 67x01 45x23 f4 f5 67x23 f6 f7 "
                             "23x23 23x01 f2 f3 01x01 f0 f1");
}

TEST(StepStream, BeginsAWalkWithTheOnlySegmentThatTheNextDoesNotSee) {
    plan plan = plan_of(causal_problem(8), 1, 1, 1, 1);
    plan.strip_blocks = 2;
    plan.segment_blocks = 2;

    EXPECT_EQ(compact(plan), "67x67 67x01 67x23 67x45 f6 f7 45x45 45x23 45x01 f4 f5 "
                             "23x23 23x01 f2 f3 01x01 f0 f1");
}

/// The steps of 8 causal tokens with so many strips in turn; strips and segments are of one token.
std::string strips_in_turn(std::int64_t interleave) {
    plan plan = plan_of(causal_problem(8), 1, 1, 1, 1);
    plan.interleave = interleave;
    return compact(plan);
}

TEST(StepStream, BeginsTheFirstWalkWithBothSegmentsThatTheNextDoesNotSeeLaterOnesWithTheLast) {
    EXPECT_EQ(strips_in_turn(2),
              "6x6 7x6 7x7 6x0 7x0 6x1 7x1 6x2 7x2 6x3 7x3 6x4 7x4 6x5 f6 7x5 f7 "
              "5x5 5x4 4x4 5x3 4x3 5x2 4x2 5x1 4x1 5x0 f5 4x0 f4 "
              "3x3 2x0 3x0 2x1 3x1 2x2 f2 3x2 f3 1x1 1x0 f1 0x0 f0");
}

TEST(StepStream, BeginsTheFirstWalkWithThreeSegmentsThatTheNextDoesNotSee) {
    EXPECT_EQ(strips_in_turn(3), "5x5 6x5 7x5 6x6 7x6 7x7 5x0 6x0 7x0 5x1 6x1 7x1 5x2 6x2 7x2 "
                                 "5x3 6x3 7x3 5x4 f5 6x4 f6 7x4 f7 "
                                 "4x4 4x3 3x3 4x2 3x2 2x2 4x1 3x1 2x1 4x0 f4 3x0 f3 2x0 f2 "
                                 "0x0 f0 1x0 1x1 f1");
}

TEST(StepStream, EndsTheFirstWalkWithMoreThanThreeSegmentsThatTheNextDoesNotSee) {
    EXPECT_EQ(strips_in_turn(4), "4x0 5x0 6x0 7x0 4x1 5x1 6x1 7x1 4x2 5x2 6x2 7x2 4x3 5x3 6x3 7x3 "
                                 "4x4 f4 5x4 6x4 7x4 5x5 f5 6x5 7x5 6x6 f6 7x6 7x7 f7 "
                                 "3x3 3x2 2x2 3x1 2x1 1x1 3x0 f3 2x0 f2 1x0 f1 0x0 f0");
}

TEST(StepStream, MakesTheQuorumsOfThePaper) {
    plan plan = plan_of(causal_problem(14), 7, 1, 2, 2);
    plan.difference_set = {0, 1, 3};
    plan.order = task_order::quorum_major;
    plan.flow = state_flow::merged;
    plan.strip_blocks = plan.segment_blocks = 3;

    step_stream steps(plan);
    const auto first = steps.next();

    ASSERT_TRUE(first);
    EXPECT_EQ(first->queries, (std::vector<std::int64_t>{0, 1, 3}));
    EXPECT_EQ(first->keys, (std::vector<std::int64_t>{0, 1}));
    const auto none = pair_kind::none;
    const auto dense = pair_kind::dense;
    const auto causal = pair_kind::causal;
    EXPECT_EQ(first->pairs, (std::vector{causal, none, dense, none, dense, dense}));
    EXPECT_EQ(first->quorum, 0);
    EXPECT_TRUE(first->partial);
}

TEST(StepStream, GivesEveryQuorumOfAPerfectSetEqualCausalWork) {
    for (const std::int64_t c : {3, 7, 13, 21, 31, 57}) {
        for (const auto flow : {state_flow::continued, state_flow::merged}) {
            plan plan = plan_of(causal_problem(4 * c), c, 1, 2, 2);
            plan.order = task_order::quorum_major;
            plan.flow = flow;

            const auto check = check_steps(plan);

            ASSERT_EQ(check.problem, "");
            ASSERT_EQ(static_cast<std::int64_t>(check.totals.quorum_flops.size()), c);
            const auto k = static_cast<std::int64_t>(plan.difference_set.size());
            const std::int64_t pairs = k * (k - 1) / 2 * 16 + 4 * 5 / 2;
            for (const auto& [quorum, flops] : check.totals.quorum_flops) {
                ASSERT_EQ(flops, flops_per_pair(plan.problem) * pairs) << "quorum " << quorum;
            }
        }
    }
}

TEST(StepStream, FinalizesQueriesThatSeeNoKeyFirst) {
    problem problem = causal_problem(8);
    problem.kv_tokens = 3;
    problem.mask = mask_rule::causal_bottom_right;
    const plan plan = plan_of(problem, 3, 1, 2, 1);

    step_stream steps(plan);
    const auto first = steps.next();
    const auto second = steps.next();

    ASSERT_TRUE(first && second);
    for (const auto& [step, block] : {std::pair{*first, 0}, std::pair{*second, 1}}) {
        EXPECT_EQ(step.kind, step_kind::finalize);
        EXPECT_EQ(step.queries, std::vector<std::int64_t>{block});
        EXPECT_EQ(step.fresh, std::vector<bool>{true});
        EXPECT_EQ(step.strip, 0);
    }
    EXPECT_EQ(steps.next()->kind, step_kind::attend);
}

TEST(StepStream, OfNoQueriesIsEmptyAndOfNoKeysOnlyFinalizes) {
    problem problem = causal_problem(0);
    EXPECT_FALSE(step_stream(plan_of(problem, 7, 2, 1, 1)).next());

    problem.tokens = 5;
    EXPECT_EQ(compact(plan_of(problem, 7, 2, 2, 1)), "f0 f1 f2");
}

TEST(StepStream, NamesTheQuorumOnlyOfStepsWithOneOwner) {
    problem problem = causal_problem(12);
    problem.mask = mask_rule::none;
    plan plan = plan_of(problem, 3, 1, 2, 2);
    plan.strip_blocks = plan.segment_blocks = 2;
    step_stream aligned(plan);
    while (const auto step = aligned.next()) {
        if (step->kind == step_kind::attend) {
            EXPECT_GE(step->quorum, 0);
        }
    }
    plan.segment_blocks = 6;
    step_stream crossing(plan);
    while (const auto step = crossing.next())
        EXPECT_EQ(step->quorum, -1);
}

TEST(StepStream, OfAHundredMillionTokensStartsAtOnce) {
    problem problem = causal_problem(100'000'000);
    plan plan = plan_of(problem, 133, 1, 4'096, 4'096);
    plan.interleave = 2;
    step_stream steps(plan);
    for (int i = 0; i < 1'000; ++i)
        ASSERT_TRUE(steps.next());
}

TEST(StepStream, RefusesPlansThatContradictThemselves) {
    const plan good = plan_of(causal_problem(100), 7, 1, 5, 5);
    const auto refuses = [&](auto change) {
        plan plan = good;
        change(plan);
        try {
            step_stream steps(plan);
        } catch (const Error& error) {
            return error.code() == error_code::usage;
        }
        return false;
    };
    EXPECT_FALSE(refuses([](plan&) {}));
    EXPECT_TRUE(refuses([](plan& p) { p.difference_set = {0, 1, 2}; }));
    EXPECT_TRUE(refuses([](plan& p) { p.chunks = 8; }));
    EXPECT_TRUE(refuses([](plan& p) { p.depth = 0; }));
    EXPECT_TRUE(refuses([](plan& p) { p.queries.tokens = 99; }));
    EXPECT_TRUE(refuses([](plan& p) { p.keys.block_tokens = 0; }));
    EXPECT_TRUE(refuses([](plan& p) { p.keys.chunk_blocks = 4; }));
    EXPECT_TRUE(refuses([](plan& p) { p.strip_blocks = 0; }));
    EXPECT_TRUE(refuses([](plan& p) { p.segment_blocks = -1; }));
    EXPECT_TRUE(refuses([](plan& p) { p.interleave = 0; }));
    EXPECT_TRUE(refuses([](plan& p) { p.flow = state_flow::merged; }));
    EXPECT_TRUE(refuses([](plan& p) {
        p.problem.head_dim = 256;
        p.problem.tokens = p.queries.tokens = p.queries.block_tokens = std::int64_t{1} << 30;
        p.problem.kv_tokens = p.keys.tokens = p.keys.block_tokens = std::int64_t{1} << 30;
        p.queries.chunk_blocks = p.keys.chunk_blocks = 1;
        p.problem.heads = 128;
    }));
}

} // namespace
} // namespace cqsa::test
