// SPDX-License-Identifier: Apache-2.0
#include "runtime/files/safetensors_header.hpp"

#include "expect_error.hpp"
#include "temporary_folder.hpp"

#include <gtest/gtest.h>

#include <cstring>

namespace cqsa::files {
namespace {

using test::bytes_of_text;
using test::expect_bad_input;

std::string with_length(const std::string& header, std::uint64_t length, std::size_t data_bytes) {
    std::string out(8, '\0');
    std::memcpy(out.data(), &length, 8);
    return out + header + std::string(data_bytes, '\0');
}

std::string file_of(const std::string& header, std::size_t data_bytes) {
    return with_length(header, header.size(), data_bytes);
}

safetensors_directory parse_directory(const std::string& file) {
    return parse_safetensors(bytes_of_text(file), "input (x.safetensors)");
}

TEST(safetensors_header, tensors_of_every_type_are_found) {
    const std::string file = file_of(R"({"__metadata__":{"format":"pt"},)"
                                     R"("k":{"dtype":"BF16","shape":[2,3],"data_offsets":[24,36]},)"
                                     R"("q":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
                                     R"("ids":{"dtype":"I64","shape":[1],"data_offsets":[48,56]},)"
                                     R"("v":{"dtype":"F16","shape":[6],"data_offsets":[36,48]}}  )",
                                     56);

    const safetensors_directory directory = parse_directory(file);
    const array_layout q = find_tensor(directory, "q", "q");
    const array_layout k = find_tensor(directory, "k", "k");
    const array_layout v = find_tensor(directory, "v", "v");

    EXPECT_EQ(q.type, data_type::f32);
    EXPECT_EQ(q.shape, (std::vector<std::int64_t>{2, 3}));
    EXPECT_EQ(k.type, data_type::bf16);
    EXPECT_EQ(k.offset - q.offset, 24);
    EXPECT_EQ(v.type, data_type::f16);
    EXPECT_EQ(v.offset + v.bytes + 8, static_cast<std::int64_t>(file.size()));
}

TEST(safetensors_header, what_is_written_is_read) {
    const std::vector<std::int64_t> shape{1, 8, 100, 64};
    const std::string header = safetensors_header("o", data_type::bf16, shape);
    EXPECT_EQ(header.size() % 64, 0U);

    const auto directory = parse_directory(header + std::string(102'400, '\0'));
    const array_layout layout = find_tensor(directory, "o", "o");

    EXPECT_EQ(layout.type, data_type::bf16);
    EXPECT_EQ(layout.shape, shape);
    EXPECT_EQ(layout.offset, static_cast<std::int64_t>(header.size()));
}

TEST(safetensors_header, lies_are_refused) {
    const auto refuse = [](const std::string& file, const std::string& part) {
        expect_bad_input([&] { parse_directory(file); }, {"input (x.safetensors): ", part});
    };
    const auto one = [](const std::string& fields) { return "{\"q\":{" + fields + "}}"; };
    const std::string dtype = R"("dtype":"F32")";

    refuse("", "too few");
    refuse("12345678", "too few");
    refuse(with_length("{}", 3, 0), "claims 3 bytes");
    refuse(with_length("{}", ~std::uint64_t{0}, 0), "claims 18446744073709551615 bytes");
    refuse(file_of(" {}", 0), "does not begin as");
    refuse(file_of("{ ", 0), "not JSON");
    refuse(file_of("{}}", 0), "not JSON");
    refuse(file_of("{\"q\":1}", 0), "a number stands in the wrong place");
    refuse(file_of("{\"q\":[]}", 0), "a list stands in the wrong place");
    refuse(file_of("{\"q\":null}", 0), "null");
    refuse(file_of("{\"q\":true}", 0), "boolean");
    refuse(file_of(R"({"q":"x"})", 0), "a string stands in the wrong place");
    refuse(file_of(R"({"q":{"q":{}}})", 0), "is unknown");
    refuse(file_of(R"({"__metadata__":{"a":{}}})", 0), "an object stands in the wrong place");
    refuse(file_of(R"({"__metadata__":{"a":1}})", 0), "wrong place");
    refuse(file_of(R"({"__metadata__":{},"__metadata__":{}})", 0), "comes twice");
    refuse(file_of(one(dtype), 0), "lacks dtype, shape or data_offsets");
    refuse(file_of(one(dtype + "," + dtype), 0), "comes twice");
    refuse(file_of(one(R"("shape":[-1])"), 0), "-1 is negative");
    refuse(file_of(one(R"("shape":[1.5])"), 0), "1.5 is not an integer");
    refuse(file_of(one(R"("shape":[1e400])"), 0), "not JSON");
    refuse(file_of(one(R"("shape":[18446744073709551615])"), 0), "overflow");
    refuse(file_of(one(R"("shape":[99999999999999999999999])"), 0), "overflow");
    refuse(file_of(one(R"("shape":[[1]])"), 0), "wrong place");
    refuse(file_of(one(R"("data_offsets":[0])"), 0), "not two numbers");
    refuse(file_of(one(R"("data_offsets":[0,1,2])"), 0), "not two numbers");
    const std::string whole = R"({"q":{"dtype":"F32","shape":[2],"data_offsets":)";
    refuse(file_of(whole + "[8,0]}}", 8), "ends before it begins");
    refuse(file_of(whole + "[0,9]}}", 8), "truncated");
    refuse(file_of(whole + "[4,8]}}", 8), "a hole");
    refuse(file_of(whole + "[0,4]}}", 8), "4 bytes follow");
    refuse(file_of(whole + R"([0,8]},"k":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", 12),
           "overlap");
    refuse(file_of(whole + "[0,8]},\"q\":{}}", 12), "comes twice");
}

TEST(safetensors_header, deep_nesting_and_long_lists_cost_nothing) {
    const std::string deep = "{\"q\":" + std::string(5'000'000, '[');
    std::string list = R"({"q":{"shape":[)";
    for (int i = 0; i < 10'000'000; ++i)
        list += "1,";

    expect_bad_input([&] { parse_directory(file_of(deep, 0)); },
                     {"a list stands in the wrong place"});
    expect_bad_input([&] { parse_directory(file_of(list, 0)); }, {"more than 32"});
}

TEST(safetensors_header, a_tensor_that_is_not_what_was_promised_is_refused) {
    const auto find = [](const std::string& fields, std::size_t bytes) {
        const auto directory = parse_directory(file_of("{\"q\":{" + fields + "}}", bytes));
        find_tensor(directory, "q", "q (x.safetensors)");
    };
    const auto refuse = [&](const std::string& fields, std::size_t bytes, const std::string& part) {
        expect_bad_input([&] { find(fields, bytes); }, {"q (x.safetensors): ", part});
    };
    refuse(R"("dtype":"I32","shape":[2],"data_offsets":[0,8])", 8, "holds I32, expected F16");
    refuse(R"("dtype":"","shape":[2],"data_offsets":[0,8])", 8, "expected F16");
    refuse(R"("dtype":"F32","shape":[3],"data_offsets":[0,8])", 8, "takes 12 bytes");
    refuse(R"("dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8])", 8, "overflows");
    expect_bad_input(
        [] {
            find_tensor(parse_directory(file_of(
                            R"({"query":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8)),
                        "q", "q (x.safetensors)");
        },
        {"has no tensor 'q'; it has query"});
}

} // namespace
} // namespace cqsa::files
