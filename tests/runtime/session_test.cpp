// SPDX-License-Identifier: Apache-2.0
#include "runtime/session.hpp"

#include "tests/runtime/attention_case.hpp"

#include <starpu.h>

#include <gtest/gtest.h>

#include <thread>

namespace cqsa::test {
namespace {

const problem small{
    .batch = 1, .heads = 2, .kv_heads = 2, .tokens = 400, .kv_tokens = 400, .head_dim = 16};

void expect_exact(const attention_case& given) {
    EXPECT_LE(relative_error(given.out.values(), given.exact().o), 1e-6);
}

void run_in(Session& session, attention_case& given) {
    session.attend(tensor_of(given.q), tensor_of(given.k), tensor_of(given.v),
                   mutable_tensor_of(given.out), mutable_tensor_of(given.lse));
}

TEST(Session, KeepsStarpuBetweenCallsAndEndsIt) {
    attention_case first(small);
    attention_case second(small, layout::bhnd, 2);
    {
        Session session({.workers = worker_set::cpu});
        run_in(session, first);
        EXPECT_NE(starpu_is_initialized(), 0);
        run_in(session, second);
    }

    EXPECT_EQ(starpu_is_initialized(), 0);
    expect_exact(first);
    expect_exact(second);
}

TEST(Session, CanFollowAnother) {
    for (std::uint64_t i = 0; i < 3; ++i) {
        attention_case given(small, layout::bhnd, i);
        Session session({.workers = worker_set::cpu});
        run_in(session, given);
        expect_exact(given);
    }
}

TEST(Session, IsSharedByCallsMadeWhileItLives) {
    attention_case inside(small);
    attention_case outside(small, layout::bhnd, 2);
    Session session({.workers = worker_set::cpu});

    outside.run({.workers = worker_set::cpu});
    run_in(session, inside);

    expect_exact(inside);
    expect_exact(outside);
}

TEST(Session, CallsFromSeveralThreadsTakeTurns) {
    std::vector<attention_case> cases;
    cases.reserve(4);
    for (std::uint64_t i = 0; i < 4; ++i)
        cases.emplace_back(small, layout::bhnd, i);

    std::vector<std::thread> callers;
    callers.reserve(cases.size());
    for (attention_case& given : cases) {
        callers.emplace_back([&given] { given.run({.workers = worker_set::cpu}); });
    }
    for (std::thread& caller : callers)
        caller.join();

    for (const attention_case& given : cases)
        expect_exact(given);
    EXPECT_EQ(starpu_is_initialized(), 0);
}

TEST(Session, TeamHasTheThreadsAskedFor) {
    attention_case given(small);

    const attend_report report = given.run({.workers = worker_set::cpu, .cpu_threads = 3});

    EXPECT_EQ(report.workers.front().name, "CPU (3 threads)");
    expect_exact(given);
}

} // namespace
} // namespace cqsa::test
