// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/error.hpp"

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>

namespace cqsa::test {

/// `action` throws Error(code) with one line that contains all `parts`.
template<class Action>
void expect_error(error_code code, const Action& action, std::initializer_list<std::string> parts) {
    try {
        action();
        ADD_FAILURE() << "nothing was thrown, expected: " << *parts.begin();
    } catch (const Error& error) {
        const std::string sentence = error.what();
        EXPECT_EQ(error.code(), code) << sentence;
        EXPECT_EQ(sentence.find('\n'), std::string::npos) << sentence;
        for (const std::string& part : parts)
            EXPECT_NE(sentence.find(part), std::string::npos)
                << "\"" << sentence << "\" lacks \"" << part << "\"";
    }
}

template<class Action>
void expect_bad_input(const Action& action, std::initializer_list<std::string> parts) {
    expect_error(error_code::bad_input, action, parts);
}

} // namespace cqsa::test
