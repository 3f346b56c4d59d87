// SPDX-License-Identifier: Apache-2.0
#include "runtime/tool/quantities.hpp"

#include "planner/error.hpp"
#include "runtime/files/text.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <fmt/format.h>
#include <optional>
#include <string_view>

namespace cqsa::tool {
namespace {

[[noreturn]] void reject(const std::string& option, const std::string& text,
                         const std::string& expected) {
    throw Error(error_code::usage, fmt::format("{}: expected {}, but '{}' came", option, expected,
                                               files::printable(text, 60)));
}

/// The factor that a suffix stands for; nothing where it is none.
std::optional<std::int64_t> factor_of(std::string suffix, bool bytes) {
    std::ranges::transform(suffix, suffix.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (bytes && suffix.ends_with('b')) suffix.pop_back();
    if (suffix.empty()) return 1;
    const std::size_t power = std::string_view("kmgtp").find(suffix[0]);
    if (power == std::string_view::npos) return std::nullopt;
    const std::string rest = suffix.substr(1);
    if (!rest.empty() && rest != "i") return std::nullopt;
    std::int64_t factor = 1;
    for (std::size_t i = 0; i <= power; ++i)
        factor *= rest.empty() ? 1000 : 1024;
    return factor;
}

struct quantity {
    double value = 0;         ///< the true value, to double's precision
    std::int64_t integer = 0; ///< its integral part
    bool whole = true;
    bool fits = true; ///< in [0, 2^63)
};

/// Nothing where the text is no non-negative number with a known suffix.
std::optional<quantity> parse_quantity(const std::string& text, bool bytes) {
    const char* const begin = text.data();
    const char* const end = begin + text.size();
    if (text.empty() || (std::isdigit(static_cast<unsigned char>(text[0])) == 0 && text[0] != '.'))
        return std::nullopt; // signs, inf and nan
    double value = 0;
    const auto [number_end, error] = std::from_chars(begin, end, value);
    if (error == std::errc::invalid_argument) return std::nullopt;
    const auto factor = factor_of({number_end, end}, bytes);
    if (!factor) return std::nullopt;

    quantity out;
    out.value = value * static_cast<double>(*factor);
    std::int64_t integer = 0;
    const auto [integer_end, integer_error] = std::from_chars(begin, end, integer);
    if (error == std::errc::result_out_of_range) {
        out.fits = false;
    } else if (integer_end == number_end && integer_error == std::errc()) {
        out.fits = !__builtin_mul_overflow(integer, *factor, &out.integer);
    } else {
        out.fits = out.value < 0x1p63;
        out.whole = out.value == std::floor(out.value);
        if (out.fits) out.integer = static_cast<std::int64_t>(out.value);
    }
    return out;
}

} // namespace

std::int64_t parse_bytes(const std::string& option, const std::string& text) {
    const auto parsed = parse_quantity(text, true);
    if (!parsed) reject(option, text, "a size such as 512MiB, 4GiB or 1.5e9");
    if (!parsed->fits) reject(option, text, "a size below 8 EiB");
    if (parsed->integer < 1) reject(option, text, "a size of at least 1 byte");
    return parsed->integer;
}

std::int64_t parse_count(const std::string& option, const std::string& text, std::int64_t least) {
    const auto parsed = parse_quantity(text, false);
    if (!parsed || !parsed->whole || (parsed->fits && parsed->integer < least))
        reject(option, text, fmt::format("an integer of at least {}", least));
    if (!parsed->fits) reject(option, text, "an integer below 2^63");
    return parsed->integer;
}

std::array<std::int64_t, 4> parse_shape(const std::string& option, const std::string& text) {
    std::array<std::int64_t, 4> shape{};
    std::size_t begin = 0;
    for (std::size_t axis = 0; axis < 4; ++axis) {
        const std::size_t end = std::min(text.find(',', begin), text.size());
        if ((end == text.size()) != (axis == 3))
            reject(option, text, "four numbers batch,heads,tokens,head_dim");
        shape[axis] = parse_count(option, text.substr(begin, end - begin), 1);
        begin = end + 1;
    }
    return shape;
}

std::uint64_t parse_seed(const std::string& option, const std::string& text) {
    std::uint64_t value = 0;
    const char* const end = text.data() + text.size();
    const auto [last, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc() || last != end)
        reject(option, text, "an integer from 0 to 18446744073709551615");
    return value;
}

double parse_number(const std::string& option, const std::string& text) {
    double value = 0;
    const char* const end = text.data() + text.size();
    const auto [last, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc() || last != end || !std::isfinite(value))
        reject(option, text, "a finite number");
    return value;
}

std::string text_of_seconds(double seconds) {
    if (seconds < 9.95) return fmt::format("{:.2f} s", seconds);
    if (seconds < 119.5) return fmt::format("{:.0f} s", seconds);
    return text_of_clock(seconds);
}

std::string text_of_clock(double seconds) {
    constexpr double day = 86400;
    if (seconds > 1000 * day) return fmt::format("{:.2g} years", seconds / (365.25 * day));
    if (seconds > 4 * day) return fmt::format("{:.1f} days", seconds / day);
    const auto whole = static_cast<std::int64_t>(std::llround(seconds));
    const std::int64_t hours = whole / 3600;
    if (hours == 0) return fmt::format("{}:{:02}", whole / 60, whole % 60);
    return fmt::format("{}:{:02}:{:02}", hours, whole / 60 % 60, whole % 60);
}

std::string text_of_rate(double flops_per_second) {
    constexpr std::array units{"FLOP/s", "kFLOP/s", "MFLOP/s", "GFLOP/s", "TFLOP/s", "PFLOP/s"};
    std::size_t unit = 0;
    while (flops_per_second >= 999.5 && unit + 1 < units.size()) {
        flops_per_second /= 1000;
        ++unit;
    }
    return fmt::format("{:.3g} {}", flops_per_second, units[unit]);
}

} // namespace cqsa::tool
