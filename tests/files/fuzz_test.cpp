// SPDX-License-Identifier: Apache-2.0
// Mutated headers: whatever comes, a parser either refuses it with Error(bad_input) or describes an
// array that lies inside the file. Some thousand mutations; CQSA_SOAK=1 tries some million.
#include "runtime/files/npy_header.hpp"
#include "runtime/files/safetensors_header.hpp"

#include "planner/error.hpp"
#include "temporary_folder.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

namespace cqsa::files {
namespace {

using Random = std::mt19937_64;

std::int64_t tries() {
    return std::getenv("CQSA_SOAK") != nullptr ? 5'000'000 : 30'000;
}

std::size_t below(Random& random, std::size_t limit) {
    return limit == 0 ? 0 : static_cast<std::size_t>(random() % limit);
}

/// One random change of the kinds that break parsers: bits, numbers, tokens, cuts and repeats.
void mutate(std::string& text, const std::vector<std::string>& words, Random& random) {
    const std::size_t at = below(random, text.size() + 1);
    const std::size_t length = below(random, std::min<std::size_t>(text.size() - at, 24) + 1);
    switch (below(random, 7)) {
    case 0:
        if (at < text.size()) text[at] = static_cast<char>(text[at] ^ 1 << below(random, 8));
        break;
    case 1:
        if (at < text.size()) text[at] = static_cast<char>(random());
        break;
    case 2:
        text.erase(at, length);
        break;
    case 3:
        text.insert(at, text.substr(at, length));
        break;
    case 4:
        text.insert(at, words[below(random, words.size())]);
        break;
    case 5:
        text.replace(at, length, words[below(random, words.size())]);
        break;
    default:
        text.resize(at);
        break;
    }
}

const std::vector<std::string>& words() {
    static const std::vector<std::string> all = {"-1",
                                                 "0",
                                                 "9223372036854775807",
                                                 "18446744073709551616",
                                                 "1e99",
                                                 "(",
                                                 ")",
                                                 "[",
                                                 "]",
                                                 "{",
                                                 "}",
                                                 ",",
                                                 ":",
                                                 "'",
                                                 "\"",
                                                 "True",
                                                 "'shape'",
                                                 "'descr'",
                                                 ">f4",
                                                 "<i8",
                                                 "<V2",
                                                 "|O",
                                                 "\"dtype\":",
                                                 "\"shape\":",
                                                 "\"data_offsets\":",
                                                 "BF16",
                                                 "__metadata__",
                                                 "null",
                                                 "\\u0000",
                                                 "[[[[[[[[[[[[[[[[",
                                                 "\xff\xff\xff\xff",
                                                 std::string(4, '\0')};
    return all;
}

/// The files are held in buffers of exactly their size, so that a read past the end is caught when
/// the test runs under AddressSanitizer.
void fuzz(const std::vector<std::string>& seeds,
          const std::function<array_layout(std::span<const std::byte>)>& parse) {
    Random random(20260101);
    std::int64_t accepted = 0;
    for (std::int64_t i = 0; i < tries(); ++i) {
        std::string text = seeds[below(random, seeds.size())];
        for (std::size_t changes = below(random, 4); changes > 0; --changes)
            mutate(text, words(), random);
        const auto bytes = std::as_bytes(std::span(text));
        const std::vector<std::byte> file(bytes.begin(), bytes.end());
        try {
            const array_layout layout = parse(file);
            ASSERT_GE(layout.offset, 0);
            ASSERT_GE(layout.bytes, 0);
            ASSERT_LE(layout.offset + layout.bytes, static_cast<std::int64_t>(file.size()));
            ASSERT_EQ(array_bytes(layout.type, layout.shape), layout.bytes);
            ++accepted;
        } catch (const Error& error) {
            ASSERT_EQ(error.code(), error_code::bad_input);
            ASSERT_LT(std::strlen(error.what()), 1000U);
            ASSERT_EQ(std::string(error.what()).find('\n'), std::string::npos);
        }
    }
    EXPECT_GT(accepted, tries() / 100);
}

TEST(fuzz, npy_headers) {
    const std::vector<std::int64_t> shape{2, 3, 4};
    std::string version_2 = npy_header(data_type::f64, shape);
    version_2[6] = '\x02';
    version_2.insert(10, 2, '\0');
    fuzz({npy_header(data_type::f32, shape) + std::string(96, 'x'),
          version_2 + std::string(192, 'x')},
         [](std::span<const std::byte> file) { return parse_npy(file, "q"); });
}

TEST(fuzz, safetensors_headers) {
    const std::string header = R"({"__metadata__":{"format":"pt"},)"
                               R"("q":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
                               R"("k":{"dtype":"I8","shape":[5],"data_offsets":[24,29]}})";
    std::string by_hand(8, '\0');
    by_hand[0] = static_cast<char>(header.size());
    fuzz({by_hand + header + std::string(29, 'x'),
          safetensors_header("q", data_type::bf16, std::vector<std::int64_t>{1, 2, 3, 4}) +
              std::string(48, 'x')},
         [](std::span<const std::byte> file) {
             return find_tensor(parse_safetensors(file, "input"), "q", "q");
         });
}

} // namespace
} // namespace cqsa::files
