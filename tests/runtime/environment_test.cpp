// SPDX-License-Identifier: Apache-2.0
#include "runtime/environment.hpp"

#include "tests/runtime/attention_case.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <unistd.h>
#include <vector>

namespace cqsa::test {
namespace {

std::vector<std::string> whole_environment() {
    std::vector<std::string> all;
    for (char** entry = environ; *entry != nullptr; ++entry)
        all.emplace_back(*entry);
    std::ranges::sort(all);
    return all;
}

TEST(Environment, IsAfterARunWhatItWasBefore) {
    setenv("STARPU_SILENT", "0", 1);
    unsetenv("STARPU_PREFETCH");
    const std::vector<std::string> before = whole_environment();

    attention_case given({.tokens = 100, .kv_tokens = 100, .head_dim = 4});
    given.run({.device_bytes = 1 << 30, .workers = worker_set::cpu});

    EXPECT_EQ(whole_environment(), before);
}

TEST(Environment, DefaultsYieldToTheUserAndArgumentsDoNot) {
    setenv("CQSA_TEST_SET", "user", 1);
    unsetenv("CQSA_TEST_UNSET");
    {
        ScopedEnvironment scope;
        scope.set_default("CQSA_TEST_SET", "default");
        scope.set_default("CQSA_TEST_UNSET", "default");
        EXPECT_STREQ(std::getenv("CQSA_TEST_SET"), "user");
        EXPECT_STREQ(std::getenv("CQSA_TEST_UNSET"), "default");
        scope.set("CQSA_TEST_SET", "argument");
        EXPECT_STREQ(std::getenv("CQSA_TEST_SET"), "argument");
    }

    EXPECT_STREQ(std::getenv("CQSA_TEST_SET"), "user");
    EXPECT_EQ(std::getenv("CQSA_TEST_UNSET"), nullptr);
}

} // namespace
} // namespace cqsa::test
