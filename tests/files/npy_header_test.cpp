// SPDX-License-Identifier: Apache-2.0
#include "runtime/files/npy_header.hpp"

#include "expect_error.hpp"
#include "temporary_folder.hpp"

#include <gtest/gtest.h>

namespace cqsa::files {
namespace {

using test::bytes_of_text;
using test::expect_bad_input;

/// A file of the given version with the given header text, `data_bytes` bytes behind it.
std::string npy_file(const std::string& header, std::size_t data_bytes, char version = 1) {
    std::string out = "\x93NUMPY";
    out += {version, '\0'};
    for (std::size_t i = 0; i < (version == 1 ? 2U : 4U); ++i)
        out += static_cast<char>(header.size() >> 8 * i & 0xffU);
    return out + header + std::string(data_bytes, '\0');
}

std::string header(const std::string& descr, const std::string& order, const std::string& shape) {
    return "{'descr': " + descr + ", 'fortran_order': " + order + ", 'shape': " + shape + ", }\n";
}

array_layout parse(const std::string& file) {
    return parse_npy(bytes_of_text(file), "q (q.npy)");
}

TEST(npy_header, every_version_and_float_type_is_read) {
    for (const char version : {'\1', '\2', '\3'})
        for (const auto& [descr, type, size] :
             {std::tuple{"'<f2'", data_type::f16, 2}, std::tuple{"'<f4'", data_type::f32, 4},
              std::tuple{"'<f8'", data_type::f64, 8}}) {
            const std::string text = header(descr, "False", "(2, 3, 5, 7)");
            const std::string file =
                npy_file(text, static_cast<std::size_t>(size) * 2 * 3 * 5 * 7, version);

            const array_layout layout = parse(file);

            EXPECT_EQ(layout.type, type);
            EXPECT_FALSE(layout.opaque);
            EXPECT_EQ(layout.shape, (std::vector<std::int64_t>{2, 3, 5, 7}));
            EXPECT_EQ(layout.bytes, size * 2 * 3 * 5 * 7);
            EXPECT_EQ(layout.offset + layout.bytes, static_cast<std::int64_t>(file.size()));
        }
}

TEST(npy_header, python_spellings_are_read) {
    EXPECT_EQ(
        parse(npy_file("{\"shape\":(4,),\"fortran_order\":False,\"descr\":\"=f4\"}", 16)).shape,
        (std::vector<std::int64_t>{4}));
    EXPECT_EQ(parse(npy_file(header("'<f4'", "False", "(2L, 2L)"), 16)).bytes, 16);
    EXPECT_EQ(parse(npy_file(header("'<f4'", "False", "()"), 4)).bytes, 4);
    EXPECT_TRUE(parse(npy_file(header("'|V2'", "False", "(2,)"), 4)).opaque);
    EXPECT_TRUE(parse(npy_file(header("'<V2'", "False", "(2,)"), 4)).opaque);
}

TEST(npy_header, an_array_without_elements_is_read) {
    EXPECT_EQ(parse(npy_file(header("'<f4'", "False", "(1, 0, 64)"), 0)).bytes, 0);
}

TEST(npy_header, bytes_behind_the_array_are_allowed) {
    EXPECT_EQ(parse(npy_file(header("'<f4'", "False", "(2,)"), 100)).bytes, 8);
}

TEST(npy_header, what_is_written_is_read) {
    for (const auto& shape : {std::vector<std::int64_t>{1, 8, 1000, 64},
                              std::vector<std::int64_t>{3}, std::vector<std::int64_t>{}}) {
        const std::string text = npy_header(data_type::f32, shape);
        EXPECT_EQ(text.size() % 64, 0U);
        const auto bytes = static_cast<std::size_t>(array_bytes(data_type::f32, shape).value());

        const array_layout layout = parse(text + std::string(bytes, '\0'));

        EXPECT_EQ(layout.shape, shape);
        EXPECT_EQ(layout.offset, static_cast<std::int64_t>(text.size()));
    }
}

TEST(npy_header, lies_and_foreign_types_are_refused) {
    const auto refuse = [](const std::string& file, const std::string& part) {
        expect_bad_input([&] { parse(file); }, {"q (q.npy): ", part});
    };
    refuse("", "is empty");
    refuse("\x93NUM", "truncated");
    refuse("PK\x03\x04 not an array at all", "does not begin as NumPy's");
    refuse(std::string("\x93NUMPY\x04\x00\x10\x00\x00\x00", 12), "version is 4.0");
    refuse(std::string("\x93NUMPY\x02\x00\xff\xff\xff\xff", 12), "claims 4294967295 bytes");
    refuse(npy_file(header("'<f4'", "True", "(2, 2)"), 16), "Fortran order");
    refuse(npy_file(header("'>f4'", "False", "(2, 2)"), 16), "big-endian ('>f4')");
    refuse(npy_file(header("'<i4'", "False", "(2, 2)"), 16), "integers ('<i4')");
    refuse(npy_file(header("'|u1'", "False", "(2, 2)"), 16), "integers ('|u1')");
    refuse(npy_file(header("'<c8'", "False", "(2, 2)"), 32), "complex numbers");
    refuse(npy_file(header("'|O'", "False", "(2, 2)"), 32), "Python objects");
    refuse(npy_file(header("'|b1'", "False", "(2, 2)"), 32), "booleans");
    refuse(npy_file(header("'<f16'", "False", "(2, 2)"), 64), "unsupported type ('<f16')");
    refuse(npy_file(header("''", "False", "(2, 2)"), 64), "unsupported type");
    refuse(npy_file(header("[('a', '<f4')]", "False", "(2, 2)"), 64), "structured types");
    refuse(npy_file(header("'<f4'", "False", "(2, -2)"), 64), "negative extent -2");
    refuse(npy_file(header("'<f4'", "False", "(99999999999999999999,)"), 64), "overflows");
    refuse(npy_file(header("'<f4'", "False", "(4611686018427387904, 4)"), 64), "overflows");
    refuse(npy_file(header("'<f4'", "False", "(0, 4611686018427387904, 4)"), 0), "overflows");
    refuse(npy_file(header("'<f4'", "False", "(1000000000000, 64)"), 64), "truncated");
    refuse(npy_file(header("'<f4'", "False", "(2, 2)"), 15), "takes 16 bytes of data, but only 15");
    refuse(npy_file(header("'<f4'", "False", "(" + std::string(99, '1') + ")"), 15), "overflows");
    std::string axes = "(";
    for (int i = 0; i < 33; ++i)
        axes += "1, ";
    refuse(npy_file(header("'<f4'", "False", axes + ")"), 15), "more than 32 axes");
    refuse(npy_file("{'descr': '<f4', 'fortran_order': False}", 15), "expected the keys");
    refuse(npy_file("{'descr': '<f4', 'descr': '<f4'}", 15), "comes twice");
    refuse(npy_file("{'color': 1}", 15), "unknown");
    refuse(npy_file("{'descr': '<f4'", 0), "ends too early");
    refuse(npy_file("{'descr': '<f4", 0), "has no end");
    refuse(npy_file("{'shape': (1, 2", 0), "ends too early");
    refuse(npy_file("{'shape': (x,)}", 0), "tuple of integers");
    refuse(npy_file("{'shape': [1]}", 0), "expected '('");
    refuse(npy_file("{'fortran_order': 0}", 0), "neither True nor False");
    refuse(npy_file(header("'<f4'", "False", "(1,)") + "x", 4), "follows the closing brace");
    refuse(npy_file("", 100), "ends too early");
}

TEST(npy_header, control_characters_of_a_file_do_not_reach_the_sentence) {
    expect_bad_input([] { parse(npy_file(header("'<\x1b[31m\n'", "False", "(1,)"), 4)); },
                     {"'<?[31m?'"});
}

} // namespace
} // namespace cqsa::files
