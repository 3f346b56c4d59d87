// SPDX-License-Identifier: Apache-2.0
#include "runtime/tool/progress_line.hpp"

#include <gtest/gtest.h>

namespace cqsa::tool {
namespace {

progress after(double share, double seconds) {
    // The numbers of tasks do not enter the estimate.
    return {.flops_done = share * 1e14,
            .flops_total = 1e14,
            .tasks_done = 99,
            .tasks_total = 100,
            .seconds = seconds};
}

TEST(progress_line, estimates_by_flops) {
    EXPECT_EQ(progress_text(after(0.25, 50), 5e11),
              "  25.0 %   500 GFLOP/s   0:50 of about 3:20, 2:30 left");
    EXPECT_EQ(progress_text(after(1, 10), 1e13),
              " 100.0 %   10 TFLOP/s   0:10 of about 0:10, 0:00 left");
}

TEST(progress_line, counts_down_while_a_task_runs) {
    EXPECT_EQ(progress_text(after(0.25, 80), 5e11),
              "  25.0 %   500 GFLOP/s   1:20 of about 3:20, 2:00 left");
    EXPECT_EQ(progress_text(after(0.25, 300), 5e11),
              "  25.0 %   500 GFLOP/s   5:00 of about 5:00, 0:00 left");
}

TEST(progress_line, says_no_more_than_it_knows) {
    EXPECT_EQ(progress_text(after(0, 3), 0), "   0.0 %");
    EXPECT_EQ(progress_text(progress{}, 0), " 100.0 %");
}

TEST(progress_line, fits_a_terminal) {
    EXPECT_LE(progress_text(after(1e-9, 99999), 1).size(), 79U);
}

} // namespace
} // namespace cqsa::tool
