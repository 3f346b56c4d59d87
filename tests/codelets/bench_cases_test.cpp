// SPDX-License-Identifier: Apache-2.0
// What bench measures is right: its cases, on the operands that it makes, with fewer tokens.
#include "bench/cases.hpp"
#include "tests/support/error_norm.hpp"

#include <gtest/gtest.h>

#include <span>
#include <vector>

namespace cqsa::test {
namespace {

std::vector<double> outputs_of(const bench::attend_case& x, const attend_task& task) {
    const state_view state = task.queries[0].state;
    const auto* acc = static_cast<const float*>(state.acc);
    const auto* l = static_cast<const float*>(state.l);
    std::vector<double> outputs;
    for (std::int64_t row = 0; row < x.heads * x.tokens; ++row) {
        for (std::int64_t i = 0; i < x.head_dim; ++i)
            outputs.push_back(static_cast<double>(acc[row * x.head_dim + i]) / l[row]);
    }
    return outputs;
}

TEST(BenchCases, AreComputedExactly) {
    constexpr int threads = 2;
    const std::vector<bench::attend_case> cases = bench::usual_cases(2, 512);
    ASSERT_EQ(cases.size(), 8U);
    for (const bench::attend_case& x : cases) {
        const bench::AttendOperands measured(x);
        const bench::AttendOperands exact(x);
        const bench::Buffer workspace(openmp::attend_workspace_bytes(measured.task(), threads));
        openmp::attend(measured.task(), {workspace.data(), workspace.bytes()}, threads);
        reference::attend(exact.task());

        const double error =
            relative_error(outputs_of(x, measured.task()), outputs_of(x, exact.task()));

        EXPECT_LE(error, x.type == data_type::f32 ? 1e-6 : 3e-3)
            << "type " << static_cast<int>(x.type) << ", head_dim " << x.head_dim
            << (x.causal ? ", causal" : ", dense");
        EXPECT_GT(error, 0); // not the same code
    }
}

} // namespace
} // namespace cqsa::test
