// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/error.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace cqsa::files {

/// `text` fit to stand in a one-line sentence: control characters become '?', long texts are cut.
std::string printable(std::string_view text, std::size_t longest = 200);

/// "(2, 8, 1024, 64)".
std::string text_of(std::span<const std::int64_t> shape);

/// Throws Error(bad_input) with the sentence "`operand`: `what`".
[[noreturn]] void bad_input(const std::string& operand, const std::string& what);

/// ": no such file or directory" and the like, for the end of a sentence.
std::string reason(int error_number);

} // namespace cqsa::files
