// SPDX-License-Identifier: Apache-2.0
#include "codelets/cpu/isa.hpp"
#include "planner/error.hpp"

#include <cstdlib>
#include <gtest/gtest.h>
#include <string>

namespace cqsa {
namespace {

/// Exits with what selected_isa() gives under CQSA_CPU_ISA, or 100 + the error's code.
[[noreturn]] void exit_with_selected(const char* wish) {
    setenv("CQSA_CPU_ISA", wish, 1);
    try {
        std::exit(static_cast<int>(selected_isa()));
    } catch (const Error& error) {
        std::exit(100 + static_cast<int>(error.code()));
    }
}

/// In processes of their own, since the variable is read once.
class SelectedIsa : public ::testing::Test {
  protected:
    SelectedIsa() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(SelectedIsa, IsWhatTheVariableNames) {
    EXPECT_EXIT(exit_with_selected("portable"),
                ::testing::ExitedWithCode(static_cast<int>(cpu_isa::portable)), "");
}

TEST_F(SelectedIsa, IsNeverMoreThanTheMachineHas) {
    EXPECT_EXIT(exit_with_selected("amx"), ::testing::ExitedWithCode(static_cast<int>(best_isa())),
                "");
}

TEST_F(SelectedIsa, IsTheBestWhenTheVariableIsEmpty) {
    EXPECT_EXIT(exit_with_selected(""), ::testing::ExitedWithCode(static_cast<int>(best_isa())),
                "");
}

TEST_F(SelectedIsa, UnknownNamesAreAUsageError) {
    EXPECT_EXIT(exit_with_selected("sse9"), ::testing::ExitedWithCode(102), "");
}

} // namespace
} // namespace cqsa
