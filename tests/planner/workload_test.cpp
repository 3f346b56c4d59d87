// SPDX-License-Identifier: Apache-2.0
// The closed forms against the steps themselves.
#include "plan_checker.hpp"
#include "planner/key_loads.hpp"
#include "planner/staircase.hpp"
#include "planner/step_stream.hpp"
#include "random_plan.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <list>
#include <set>
#include <utility>

namespace cqsa::test {
namespace {

TEST(SumOfQuotients, EqualsTheLoop) {
    for (std::int64_t count = 0; count <= 12; ++count) {
        for (std::int64_t slope = 0; slope <= 9; ++slope) {
            for (std::int64_t start = 0; start <= 9; ++start) {
                for (std::int64_t width = 1; width <= 9; ++width) {
                    std::int64_t sum = 0;
                    for (std::int64_t i = 0; i < count; ++i)
                        sum += (slope * i + start) / width;
                    ASSERT_EQ(sum_of_quotients(count, slope, start, width), sum);
                }
            }
        }
    }
    EXPECT_EQ(sum_of_quotients(1'000'000, 1'000'000, 0, 1), 499'999'500'000'000'000);
}

TEST(Staircase, EqualsItsDefinition) {
    std::mt19937_64 random(3);
    const auto draw = [&](std::int64_t from, std::int64_t to) {
        return std::uniform_int_distribution<std::int64_t>(from, to)(random);
    };
    for (int i = 0; i < 3'000; ++i) {
        const Staircase stairs(draw(0, 20), draw(0, 9), draw(-40, 40), draw(1, 7), draw(0, 15));
        std::vector<std::int64_t> values;
        values.reserve(stairs.count());
        for (std::int64_t j = 0; j < stairs.count(); ++j)
            values.push_back(stairs.value(j));
        ASSERT_TRUE(std::ranges::is_sorted(values));
        const auto sum_of = [](const std::vector<std::int64_t>& list) {
            std::int64_t sum = 0;
            for (const auto value : list)
                sum += value;
            return sum;
        };
        ASSERT_EQ(stairs.sum(), sum_of(values));
        for (std::int64_t y = -1; y <= 16; ++y) {
            const auto up_to = std::ranges::count_if(values, [&](auto v) { return v <= y; });
            ASSERT_EQ(stairs.count_up_to(y), up_to);
            auto capped = values;
            auto lowered = values;
            for (auto& value : capped)
                value = std::min(value, std::max<std::int64_t>(y, 0));
            for (auto& value : lowered)
                value = std::max<std::int64_t>(0, value - y);
            if (y < 0) continue;
            ASSERT_EQ(stairs.capped(y).sum(), sum_of(capped));
            ASSERT_EQ(stairs.lowered(y).sum(), sum_of(lowered));
        }
        auto divided = values;
        for (auto& value : divided)
            value = (value + 2) / 3;
        ASSERT_EQ(stairs.divided_by(3).sum(), sum_of(divided));
        for (std::size_t j = 1; j < values.size(); ++j) {
            ASSERT_LE(values[j] - values[j - 1], stairs.greatest_step());
        }
    }
}

/// The same quantities, counted over the steps.
workload count_steps(const plan& plan) {
    workload work;
    work.largest_task_pairs = measure_workload(plan).largest_task_pairs;
    std::set<std::int64_t> leaves;
    std::set<std::int64_t> live;
    std::map<std::int64_t, std::set<std::int64_t>> visits;              // blocks of each visit
    std::map<std::int64_t, std::int64_t> leaf_of;                       // of each visit
    std::map<std::int64_t, std::set<std::int64_t>> keys_of;             // of each visit
    std::map<std::int64_t, std::pair<std::int64_t, std::int64_t>> span; // first and last step
    std::int64_t index = 0;
    step_stream steps(plan);
    while (const auto step = steps.next()) {
        ++index;
        if (step->kind != step_kind::attend) continue;
        ++work.tasks;
        const bool quorum_major = plan.order == task_order::quorum_major;
        leaf_of[step->strip] = quorum_major ? step->quorum : 0;
        leaves.insert(leaf_of[step->strip]);
        visits[step->strip].insert(step->queries.begin(), step->queries.end());
        live.insert(step->queries.begin(), step->queries.end());
        keys_of[step->strip].insert(step->keys.begin(), step->keys.end());
        span.try_emplace(step->strip, index, index).first->second.second = index;
    }
    work.leaves = static_cast<std::int64_t>(leaves.size());
    work.visits = static_cast<std::int64_t>(visits.size());
    for (const auto& [strip, blocks] : visits) {
        work.block_visits += static_cast<std::int64_t>(blocks.size());
        for (const auto block : blocks)
            work.visit_tokens += plan.queries.size(block);
    }
    for (const auto block : live)
        work.live_tokens += plan.queries.size(block);
    // Groups are told apart through the stream that makes them.
    GroupStream groups(plan);
    std::int64_t strip = 0;
    while (const strip_group* group = groups.next()) {
        ++work.groups;
        std::set<std::int64_t> keys;
        for (std::size_t i = 0; i < group->strips.size(); ++i, ++strip) {
            keys.insert(keys_of[strip].begin(), keys_of[strip].end());
        }
        for (const auto key : keys)
            work.group_key_tokens += plan.keys.size(key);
    }
    return work;
}

void expect_equal(const workload& model, const workload& counted, const plan& plan) {
    EXPECT_EQ(model.tasks, counted.tasks) << to_text(plan);
    EXPECT_EQ(model.leaves, counted.leaves) << to_text(plan);
    EXPECT_EQ(model.groups, counted.groups) << to_text(plan);
    EXPECT_EQ(model.visits, counted.visits) << to_text(plan);
    EXPECT_EQ(model.block_visits, counted.block_visits) << to_text(plan);
    EXPECT_EQ(model.visit_tokens, counted.visit_tokens) << to_text(plan);
    EXPECT_EQ(model.live_tokens, counted.live_tokens) << to_text(plan);
    EXPECT_EQ(model.group_key_tokens, counted.group_key_tokens) << to_text(plan);
}

TEST(Workload, OfAnyPlanIsWhatItsStepsAddUpTo) {
    std::mt19937_64 random(4);
    for (int draw = 0; draw < 500; ++draw) {
        const plan plan = random_plan(random, 2'000, 60);
        expect_equal(measure_workload(plan), count_steps(plan), plan);
        if (HasFailure()) return;
    }
}

/// Strips and segments that divide the chunks, so that the closed form applies.
plan uniform_plan(std::mt19937_64& random) {
    const auto draw = [&](std::int64_t from, std::int64_t to) {
        return std::uniform_int_distribution<std::int64_t>(from, to)(random);
    };
    problem problem;
    problem.head_dim = 1;
    problem.mask = static_cast<mask_rule>(draw(0, 2));
    const std::int64_t usual[] = {1, 3, 4, 7, 10, 13, 31};
    const std::int64_t chunks = usual[draw(0, 6)];
    const std::int64_t query_block = draw(1, 5);
    const std::int64_t key_block = draw(1, 5);
    const std::int64_t interleave = draw(1, 3);
    const std::int64_t strip = draw(1, 2);
    const std::int64_t segment = draw(1, 3);
    const std::int64_t query_chunk = strip * interleave * draw(1, 2);
    const std::int64_t key_chunk = segment * draw(1, 3);
    const auto tokens = [&](std::int64_t chunk_blocks, std::int64_t block) {
        const std::int64_t most = chunks * chunk_blocks * block;
        return most - draw(0, std::min(most, chunk_blocks * block) - 1);
    };
    problem.tokens = tokens(query_chunk, query_block);
    problem.kv_tokens = tokens(key_chunk, key_block);
    plan plan = plan_of(problem, chunks, 1, query_block, key_block);
    plan.order = task_order::quorum_major;
    plan.flow = state_flow::merged;
    plan.strip_blocks = strip;
    plan.segment_blocks = segment;
    plan.interleave = interleave;
    return plan;
}

TEST(Workload, OfUniformQuorumsIsWhatTheirStepsAddUpTo) {
    std::mt19937_64 random(5);
    int uniform = 0;
    for (int draw = 0; draw < 300; ++draw) {
        const plan plan = uniform_plan(random);
        if (plan.queries.chunk_blocks % (plan.strip_blocks * plan.interleave) == 0 &&
            plan.keys.chunk_blocks % plan.segment_blocks == 0) {
            ++uniform;
        }
        expect_equal(measure_workload(plan), count_steps(plan), plan);
        if (HasFailure()) return;
    }
    EXPECT_GT(uniform, 150);
}

/// Key tokens that a device loads when it keeps the `capacity` least recently used blocks.
std::int64_t cached_loads(const plan& plan, std::int64_t capacity) {
    std::list<std::int64_t> kept; // most recently used first
    std::int64_t loaded = 0;
    step_stream steps(plan);
    while (const auto step = steps.next()) {
        for (const auto key : step->keys) {
            const auto place = std::ranges::find(kept, key);
            if (place == kept.end()) {
                loaded += plan.keys.size(key);
                if (std::cmp_greater_equal(kept.size(), capacity)) kept.pop_back();
            } else {
                kept.erase(place);
            }
            kept.push_front(key);
        }
    }
    return loaded;
}

TEST(PredictedKeyLoads, OfQueryMajorPlansAreThoseOfAnLruCache) {
    std::mt19937_64 random(6);
    for (int draw = 0; draw < 1'000; ++draw) {
        plan plan = random_query_major_plan(random, 3'000, 80);
        plan.segment_blocks = 1;
        const workload work = measure_workload(plan);
        const auto capacity = std::uniform_int_distribution<std::int64_t>(1, 90)(random);
        ASSERT_EQ(predict_key_loads(plan, work, capacity), cached_loads(plan, capacity))
            << "capacity " << capacity << ": " << to_text(plan);
    }
}

TEST(PredictedKeyLoads, OfLongerSegmentsDifferByLessThanASegmentPerWalk) {
    std::mt19937_64 random(7);
    for (int draw = 0; draw < 500; ++draw) {
        plan plan = random_query_major_plan(random, 3'000, 80);
        const workload work = measure_workload(plan);
        const auto capacity =
            2 * plan.segment_blocks + std::uniform_int_distribution<std::int64_t>(0, 90)(random);
        const auto difference =
            predict_key_loads(plan, work, capacity) - cached_loads(plan, capacity);
        ASSERT_LE(std::abs(difference), work.groups * plan.segment_blocks * plan.keys.block_tokens)
            << "capacity " << capacity << ": " << to_text(plan);
    }
}

TEST(SimulatedKeyLoads, AreThoseOfAnLruCache) {
    std::mt19937_64 random(8);
    for (int draw = 0; draw < 300; ++draw) {
        const plan plan = random_plan(random, 2'000, 40);
        const auto capacity = std::uniform_int_distribution<std::int64_t>(1, 45)(random);
        ASSERT_EQ(simulate_key_loads(plan, capacity), cached_loads(plan, capacity))
            << "capacity " << capacity << ": " << to_text(plan);
    }
}

TEST(PredictedKeyLoads, OfQuorumMajorPlansAreCloseToThoseOfAnLruCache) {
    for (const std::int64_t c : {7, 13, 31}) {
        for (const auto mask : {mask_rule::none, mask_rule::causal_top_left}) {
            problem problem;
            problem.head_dim = 1;
            problem.tokens = problem.kv_tokens = c * 12;
            problem.mask = mask;
            plan plan = plan_of(problem, c, 1, 1, 1);
            plan.order = task_order::quorum_major;
            plan.flow = state_flow::merged;
            plan.interleave = 2;
            plan.strip_blocks = 2;
            const workload work = measure_workload(plan);
            for (const std::int64_t capacity : {1, 2, 4, 8, 16, 24, 72}) {
                const auto model = static_cast<double>(predict_key_loads(plan, work, capacity));
                const auto counted = static_cast<double>(cached_loads(plan, capacity));
                // The averages that the estimate is made of allow for no more.
                EXPECT_NEAR(model / counted, 1, 0.3)
                    << "capacity " << capacity << ": " << to_text(plan);
            }
            EXPECT_EQ(predict_key_loads(plan, work, plan.keys.blocks()), plan.keys.tokens);
        }
    }
}

} // namespace
} // namespace cqsa::test
