// SPDX-License-Identifier: Apache-2.0
// Accuracy on a trained transformer's q, k and v: three heads of the first layer of
// all-MiniLM-L6-v2 over 300 tokens of the Apache licence, whose scores reach 71
// (bench/real_text/README.md).
#include "codelets/element.hpp"
#include "opaque_bfloat16.hpp"
#include "process.hpp"
#include "runtime/files/array_file.hpp"
#include "tests/files/temporary_folder.hpp"
#include "tests/support/beside_program.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <ostream>

namespace cqsa::test {
namespace {

struct accuracy {
    std::string name;
    data_type type;
    double rel_error; ///< what cqsa promises for unit-variance inputs holds for these too
    double lse_share; ///< of the largest |lse|
};

std::ostream& operator<<(std::ostream& out, const accuracy& value) {
    return out << value.name;
}

class RealText : public ::testing::TestWithParam<accuracy> {};

/// Writes the tensors of the data file to folder/q.npy, k.npy and v.npy in another type; bf16 as a
/// .npy file cannot be written by us, but its opaque form can be read.
std::vector<std::string> convert(const TemporaryFolder& folder, data_type type) {
    const std::array<std::string, 3> names{"q", "k", "v"};
    const std::string file = test::beside_program("../tests/tool/data/minilm_qkv.safetensors",
                                                  CQSA_TEST_DATA "/minilm_qkv.safetensors");
    const auto sources = files::open_safetensors(file, names);
    std::vector<std::string> arguments;
    for (std::size_t i = 0; i < 3; ++i) {
        const tensor from = files::view_of(sources[i], files::axis_order::bhnd);
        const std::string path = folder.file(names[i] + ".npy");
        const data_type stored = type == data_type::bf16 ? data_type::f16 : type;
        files::array_sink sink =
            files::create_array(path, "--out", names[i], stored, sources[i].layout.shape);
        const std::int64_t count = from.shape[1] * from.shape[2] * from.shape[3];
        for (std::int64_t x = 0; x < count; ++x)
            write_element(type, sink.data, x, read_element(from.type, from.data, x));
        if (type == data_type::bf16) mark_as_bfloat16(sink);
        sink.file.commit();
        arguments.insert(arguments.end(), {"--" + names[i], path});
    }
    return arguments;
}

TEST_P(RealText, is_computed_as_accurately_as_promised) {
    const TemporaryFolder folder;
    std::vector<std::string> arguments{
        "attend", "-q",      "--verify",      "900",   "--json",
        "-",      "--dtype", GetParam().name, "--lse", folder.file("l.npy")};
    for (const std::string& argument : convert(folder, GetParam().type))
        arguments.push_back(argument);

    const process_result result = run_tool(arguments);
    ASSERT_EQ(result.code, 0) << result.err;

    const auto lse = files::open_npy(folder.file("l.npy"), "lse");
    const data_type lse_type = lse.layout.type;
    double largest = 0;
    for (std::int64_t i = 0; i < 900; ++i)
        largest = std::max(
            largest,
            std::abs(read_element(lse_type, lse.file->bytes().data() + lse.layout.offset, i)));
    const nlohmann::json verified = nlohmann::json::parse(result.out).at("verify");
    EXPECT_EQ(verified.at("rows"), 900);
    EXPECT_LE(verified.at("rel_error"), GetParam().rel_error);
    EXPECT_LE(verified.at("lse_max_abs_error"), GetParam().lse_share * largest);
    EXPECT_GT(largest, 70); // the sharp head is there
}

INSTANTIATE_TEST_SUITE_P(types, RealText,
                         ::testing::Values(accuracy{"f32", data_type::f32, 1e-6, 2e-6},
                                           accuracy{"f16", data_type::f16, 4e-4, 1e-5},
                                           accuracy{"bf16", data_type::bf16, 3e-3, 1e-5},
                                           accuracy{"f64", data_type::f64, 1e-14, 1e-14}),
                         [](const auto& test) { return test.param.name; });

} // namespace
} // namespace cqsa::test
