// SPDX-License-Identifier: Apache-2.0
#include "tests/runtime/attention_case.hpp"
#include "tests/support/beside_program.hpp"

#include <starpu.h>

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace cqsa::test {
namespace {

TEST(Trace, HoldsEveryTaskWithItsNameWorkAndQuorum) {
#ifndef STARPU_USE_FXT
    GTEST_SKIP() << "StarPU was built without FxT";
#endif
    const std::filesystem::path folder =
        std::filesystem::temp_directory_path() / ("cqsa_trace_" + std::to_string(getpid()));
    attention_case given(
        {.heads = 2, .kv_heads = 2, .tokens = 900, .kv_tokens = 900, .head_dim = 32});

    const attend_report report = given.run({.workers = worker_set::cpu,
                                            .chunks = 7,
                                            .order = task_order::quorum_major,
                                            .flow = state_flow::merged,
                                            .block_tokens = 128,
                                            .trace_directory = folder.string()});

    const std::string convert =
        "cd " + folder.string() + " && '" +
        beside_program("starpu_fxt_tool", CQSA_STARPU_TOOLS "/starpu_fxt_tool") +
        "' -i cqsa.fxt_0 > log.txt 2>&1";
    ASSERT_EQ(std::system(convert.c_str()), 0);
    std::ifstream file(folder / "tasks.rec");
    std::string line;
    std::int64_t attends = 0;
    double gigaflops = 0;
    bool has_last_quorum = false;
    while (std::getline(file, line)) {
        attends += line == "Name: cqsa_attend" ? 1 : 0;
        if (line.starts_with("GFlop: ")) gigaflops += std::stod(line.substr(7));
        has_last_quorum = has_last_quorum || line.starts_with("Iteration: 7");
    }
    EXPECT_EQ(attends, report.plan.tasks);
    EXPECT_NEAR(gigaflops, 1e-9 * report.measured.flops, 1e-3);
    EXPECT_TRUE(has_last_quorum);
    std::filesystem::remove_all(folder);
}

} // namespace
} // namespace cqsa::test
