// SPDX-License-Identifier: Apache-2.0
#include "runtime/tool/progress_line.hpp"

#include <gtest/gtest.h>

namespace cqsa::tool {
namespace {

progress after(double share, double seconds) {
    constexpr double total = 1e14;
    progress p;
    p.flops_done = static_cast<decltype(p.flops_done)>(share * total);
    p.flops_total = static_cast<decltype(p.flops_total)>(total);
    p.tasks_done = 99; // tasks do not enter the estimate
    p.tasks_total = 100;
    p.seconds = seconds;
    return p;
}

TEST(progress_line, estimates_by_flops) {
    EXPECT_EQ(progress_text(after(0.25, 50)),
              "  25.0 %   500 GFLOP/s   50 s of about 3:20, 2:30 left");
    EXPECT_EQ(progress_text(after(1, 10)),
              " 100.0 %   10 TFLOP/s   10 s of about 10 s, 0.00 s left");
}

TEST(progress_line, says_no_more_than_it_knows) {
    EXPECT_EQ(progress_text(after(0, 0)), "   0.0 %");
    EXPECT_EQ(progress_text(after(0, 3)), "   0.0 %");
    EXPECT_EQ(progress_text(progress{}), " 100.0 %");
}

TEST(progress_line, fits_a_terminal) {
    EXPECT_LE(progress_text(after(1e-9, 99999)).size(), 79U);
}

} // namespace
} // namespace cqsa::tool
