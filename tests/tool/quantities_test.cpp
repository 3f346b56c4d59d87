// SPDX-License-Identifier: Apache-2.0
#include "runtime/tool/quantities.hpp"

#include "tests/files/expect_error.hpp"

#include <gtest/gtest.h>

namespace cqsa::tool {
namespace {

using test::expect_error;

constexpr std::int64_t largest = 9223372036854775807;

TEST(quantities, sizes_are_read) {
    const std::pair<const char*, std::int64_t> cases[] = {
        {"1", 1},
        {"512MiB", 536870912},
        {"4GiB", 4294967296},
        {"4gib", 4294967296},
        {"4Gi", 4294967296},
        {"1.5e9", 1500000000},
        {"64k", 64000},
        {"64K", 64000},
        {"64kB", 64000},
        {"64Ki", 65536},
        {"2M", 2000000},
        {"1.5T", 1500000000000},
        {"3TiB", 3298534883328},
        {"1PiB", 1125899906842624},
        {"7B", 7},
        {"1.1KiB", 1126},
        {".5MiB", 524288},
        {"9223372036854775807", largest},
        {"9007199254740993", 9007199254740993}, // not a double
    };
    for (const auto& [text, bytes] : cases)
        EXPECT_EQ(parse_bytes("--size", text), bytes) << text;
}

TEST(quantities, nonsense_is_refused_with_a_sentence) {
    for (const char* text : {"", " ", "x", "-1", "+1", "12xb", "MiB", "1 GiB", "inf", "nan", "0x10",
                             "1e", "1iB", "1Mib5", "--5", "1,5", "1e5e5", "4GiBB"})
        expect_error(error_code::usage, [&] { parse_bytes("--size", text); },
                     {"--size: expected a size such as", std::string("'") + text + "'"});
    for (const char* text : {"1e99", "1e999", "9223372036854775808", "9PiB9", "8192PiB", "1e19"})
        expect_error(error_code::usage, [&] { parse_bytes("--size", text); }, {"--size: expected"});
    for (const char* text : {"0", "0.5", "0GiB", "1e-400"})
        expect_error(error_code::usage, [&] { parse_bytes("--size", text); }, {"--size: expected"});
}

TEST(quantities, counts_are_integers) {
    EXPECT_EQ(parse_count("--n", "65536", 1), 65536);
    EXPECT_EQ(parse_count("--n", "64Ki", 1), 65536);
    EXPECT_EQ(parse_count("--n", "1e9", 1), 1000000000);
    EXPECT_EQ(parse_count("--n", "1.5M", 1), 1500000);
    EXPECT_EQ(parse_count("--n", "0", 0), 0);
    for (const char* text : {"", "-3", "1.5", "64KiB", "0", "1e-3", "x"})
        expect_error(error_code::usage, [&] { parse_count("--n", text, 1); },
                     {"--n: expected an integer of at least 1"});
    expect_error(error_code::usage, [] { parse_count("--n", "1e30", 1); }, {"below 2^63"});
}

TEST(quantities, shapes_have_four_extents) {
    EXPECT_EQ(parse_shape("--random", "1,8,64Ki,64"),
              (std::array<std::int64_t, 4>{1, 8, 65536, 64}));
    for (const char* text : {"", "1", "1,2,3", "1,2,3,4,5", "1,2,3,", ",,,", "1,2,0,4", "1,2,-3,4",
                             "1;2;3;4", "1,2,3,4,"})
        expect_error(error_code::usage, [&] { parse_shape("--random", text); },
                     {"--random: expected"});
}

TEST(quantities, numbers_and_seeds) {
    EXPECT_EQ(parse_number("--scale", "-0.125"), -0.125);
    EXPECT_EQ(parse_seed("--seed", "18446744073709551615"), ~std::uint64_t{0});
    for (const char* text : {"", "x", "1x", "inf", "nan", "1e999", "1,5"})
        expect_error(error_code::usage, [&] { parse_number("--scale", text); },
                     {"a finite number"});
    for (const char* text : {"", "-1", "1.5", "18446744073709551616", "1 "})
        expect_error(error_code::usage, [&] { parse_seed("--seed", text); }, {"an integer from 0"});
}

TEST(quantities, are_written_for_people) {
    EXPECT_EQ(text_of_seconds(0.123), "0.12 s");
    EXPECT_EQ(text_of_seconds(59.6), "60 s");
    EXPECT_EQ(text_of_seconds(205), "3:25");
    EXPECT_EQ(text_of_seconds(3723), "1:02:03");
    EXPECT_EQ(text_of_clock(42), "0:42");
    EXPECT_EQ(text_of_clock(86400 * 5.3), "5.3 days");
    EXPECT_EQ(text_of_clock(1e14), "3.2e+06 years");
    EXPECT_EQ(text_of_rate(2.28e11), "228 GFLOP/s");
    EXPECT_EQ(text_of_rate(1.234e12), "1.23 TFLOP/s");
}

} // namespace
} // namespace cqsa::tool
