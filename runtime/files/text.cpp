// SPDX-License-Identifier: Apache-2.0
#include "runtime/files/text.hpp"

#include <cctype>
#include <system_error>

namespace cqsa::files {

std::string printable(std::string_view text, std::size_t longest) {
    std::string out(text.substr(0, longest));
    for (char& c : out)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
    if (text.size() > longest) out += "...";
    return out;
}

std::string text_of(std::span<const std::int64_t> shape) {
    std::string out = "(";
    for (std::size_t i = 0; i < shape.size(); ++i) {
        if (i > 0) out += ", ";
        out += std::to_string(shape[i]);
    }
    return out + ")";
}

void bad_input(const std::string& operand, const std::string& what) {
    throw Error(error_code::bad_input, operand + ": " + what);
}

std::string reason(int error_number) {
    std::string text = std::generic_category().message(error_number);
    if (!text.empty())
        text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
    return text;
}

} // namespace cqsa::files
