// SPDX-License-Identifier: Apache-2.0
// Exact cover and the contract of the steps over random plans. CQSA_SOAK=1 in the environment
// draws 10^5 plans instead of a few thousand.
#include "plan_checker.hpp"
#include "planner/flops.hpp"
#include "random_plan.hpp"

#include <cstdlib>
#include <gtest/gtest.h>

namespace cqsa::test {
namespace {

int draws() {
    const char* soak = std::getenv("CQSA_SOAK");
    return soak != nullptr && *soak != '\0' && *soak != '0' ? 50'000 : 1'500;
}

TEST(RandomPlans, ComputeEveryVisibleTokenPairOnceAndNoOther) {
    std::mt19937_64 random(1);
    const int all = draws();
    for (int draw = 0; draw < all; ++draw) {
        const plan plan = random_plan(random, 60, 60);

        const auto count = count_token_pairs(plan);

        for (std::int64_t r = 0; r < plan.problem.tokens; ++r) {
            for (std::int64_t t = 0; t < plan.problem.kv_tokens; ++t) {
                ASSERT_EQ(count[r * plan.problem.kv_tokens + t], sees(plan.problem, r, t) ? 1 : 0)
                    << "query " << r << ", key " << t << ", draw " << draw << ": " << to_text(plan);
            }
        }
    }
}

TEST(RandomPlans, KeepTheContractOfTheSteps) {
    std::mt19937_64 random(2);
    const int all = draws();
    for (int draw = 0; draw < all; ++draw) {
        const plan plan = random_plan(random, 5'000, 100);

        const plan_check check = check_steps(plan);

        ASSERT_EQ(check.problem, "") << "draw " << draw << ": " << to_text(plan);
        ASSERT_EQ(check.totals.flops, total_flops(plan.problem)) << to_text(plan);
    }
}

} // namespace
} // namespace cqsa::test
