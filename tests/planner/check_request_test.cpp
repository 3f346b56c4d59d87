// SPDX-License-Identifier: Apache-2.0
// What make_plan refuses before it looks for a plan.
#include "planner/error.hpp"
#include "planner/make_plan.hpp"
#include "test_machine.hpp"

#include <gtest/gtest.h>
#include <limits>
#include <optional>

namespace cqsa::test {
namespace {

std::optional<error_code> refusal_code(const problem& problem, const machine& machine,
                                       const plan_request& request = {}) {
    try {
        make_plan(problem, machine, request);
    } catch (const Error& error) {
        return error.code();
    }
    return std::nullopt;
}

TEST(CheckRequest, RefusesProblemsThatMakeNoSense) {
    const auto refuses = [](auto change) {
        problem problem = causal(1'000);
        change(problem);
        return refusal_code(problem, small_cpu()) == error_code::bad_input;
    };
    constexpr auto huge = std::numeric_limits<std::int64_t>::max();
    EXPECT_FALSE(refuses([](problem&) {}));
    EXPECT_TRUE(refuses([](problem& p) { p.batch = 0; }));
    EXPECT_TRUE(refuses([](problem& p) { p.heads = 0; }));
    EXPECT_TRUE(refuses([](problem& p) { p.kv_heads = 3; }));
    EXPECT_TRUE(refuses([](problem& p) { p.kv_heads = 0; }));
    EXPECT_TRUE(refuses([](problem& p) { p.tokens = -1; }));
    EXPECT_TRUE(refuses([](problem& p) { p.kv_tokens = -1; }));
    EXPECT_TRUE(refuses([](problem& p) { p.head_dim = 0; }));
    EXPECT_TRUE(refuses([](problem& p) { p.head_dim = 257; }));
    EXPECT_TRUE(refuses([](problem& p) { p.tokens = huge; }));
    EXPECT_TRUE(refuses([](problem& p) { p.kv_tokens = huge; }));
    EXPECT_TRUE(refuses([](problem& p) { p.batch = huge / 4; }));
}

TEST(CheckRequest, RefusesMachinesThatMakeNoSense) {
    const auto refuses = [](auto change) {
        machine machine = h100(1'024 * mebibyte);
        machine.cpu = true;
        machine.cpu_rates = small_cpu().cpu_rates;
        change(machine);
        return refusal_code(causal(1'000), machine) == error_code::usage;
    };
    EXPECT_FALSE(refuses([](machine&) {}));
    EXPECT_TRUE(refuses([](machine& m) { m.cpu = false, m.devices = 0; }));
    EXPECT_TRUE(refuses([](machine& m) { m.devices = -1; }));
    EXPECT_TRUE(refuses([](machine& m) { m.device_bytes = -1; }));
    EXPECT_TRUE(refuses([](machine& m) { m.host_bytes = -1; }));
    EXPECT_TRUE(refuses([](machine& m) { m.alignment = 0; }));
    EXPECT_TRUE(refuses([](machine& m) { m.cpu_rates.attend_flops_per_second = 0; }));
    EXPECT_TRUE(refuses([](machine& m) { m.device_rates.h2d_bytes_per_second = 0; }));
    EXPECT_TRUE(refuses([](machine& m) { m.device_page_bytes = 0; }));
}

TEST(CheckRequest, RefusesRequestsThatMakeNoSense) {
    const auto refuses = [](auto change) {
        plan_request request;
        change(request);
        return refusal_code(causal(1'000), small_cpu(), request) == error_code::usage;
    };
    EXPECT_FALSE(refuses([](plan_request&) {}));
    EXPECT_TRUE(refuses([](plan_request& r) { r.chunks = 0; }));
    EXPECT_TRUE(refuses([](plan_request& r) { r.chunks = -7; }));
    EXPECT_TRUE(refuses([](plan_request& r) { r.chunks = 2'000'000; }));
    EXPECT_TRUE(refuses([](plan_request& r) { r.depth = 0; }));
    EXPECT_TRUE(refuses([](plan_request& r) { r.depth = 100; }));
    EXPECT_TRUE(refuses([](plan_request& r) { r.chunks = 133, r.depth = 10; }));
    EXPECT_TRUE(refuses([](plan_request& r) { r.block_tokens = 0; }));
    EXPECT_TRUE(refuses([](plan_request& r) { r.strip_tokens = -1; }));
    EXPECT_TRUE(refuses([](plan_request& r) { r.segment_tokens = 0; }));
    EXPECT_TRUE(refuses([](plan_request& r) { r.tolerance = -1; }));
    EXPECT_TRUE(refuses([](plan_request& r) {
        r.order = task_order::query_major;
        r.flow = state_flow::merged;
    }));
}

} // namespace
} // namespace cqsa::test
