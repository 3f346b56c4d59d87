// SPDX-License-Identifier: Apache-2.0
#include "runtime/files/array_file.hpp"

#include "runtime/files/npy_header.hpp"

#include "expect_error.hpp"
#include "temporary_folder.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <sys/stat.h>

namespace cqsa::files {
namespace {

using test::expect_bad_input;
using test::expect_error;
using test::read_file;
using test::TemporaryFolder;
using test::write_file;
using shape_type = std::vector<std::int64_t>;
using shape4 = std::array<std::int64_t, 4>;

/// Writes 0, 1, 2, ... in f32.
void write_counting(const std::string& path, const std::string& name, const shape_type& shape) {
    array_sink sink = create_array(path, "--out", name, data_type::f32, shape);
    auto* values = static_cast<float*>(sink.data);
    std::iota(values, values + array_bytes(data_type::f32, shape).value() / 4, 0.0F);
    sink.file.commit();
}

float at(const tensor& t, const shape4& index) {
    std::int64_t offset = 0;
    for (std::size_t i = 0; i < 4; ++i)
        offset += index[i] * t.strides[i];
    return static_cast<const float*>(t.data)[offset];
}

TEST(array_file, axes_of_both_orders) {
    EXPECT_EQ(tensor_shape(shape_type{2, 3, 5, 7}, axis_order::bhnd), (shape4{2, 3, 5, 7}));
    EXPECT_EQ(tensor_shape(shape_type{2, 5, 3, 7}, axis_order::bnhd), (shape4{2, 3, 5, 7}));
    EXPECT_EQ(tensor_shape(shape_type{3, 5, 7}, axis_order::bhnd), (shape4{1, 3, 5, 7}));
    EXPECT_EQ(tensor_shape(shape_type{5, 3, 7}, axis_order::bnhd), (shape4{1, 3, 5, 7}));
    EXPECT_EQ(tensor_shape(shape_type{5, 7}, axis_order::bhnd), (shape4{1, 1, 5, 7}));
    EXPECT_EQ(tensor_shape(shape_type{5, 7}, axis_order::bnhd), (shape4{1, 1, 5, 7}));
    for (const auto order : {axis_order::bhnd, axis_order::bnhd})
        for (const auto& shape : {shape_type{2, 3, 5, 7}, shape_type{3, 5, 7}, shape_type{5, 7}})
            EXPECT_EQ(file_shape(tensor_shape(shape, order), order, shape.size()), shape);
}

TEST(array_file, a_written_array_is_viewed_in_place_in_both_formats_and_orders) {
    const TemporaryFolder folder;
    for (const std::string name : {"o.npy", "o.safetensors"}) {
        const std::string path = folder.file(name);
        write_counting(path, "q", {2, 3, 5, 7});
        const bool npy = name == "o.npy";
        if (!npy) write_counting(path, "q", {2, 3, 5, 7});

        array_source source;
        if (npy)
            source = open_npy(path, "q");
        else
            source = open_safetensors(path, {"q", "q", "q"})[0];
        const tensor bhnd = view_of(source, axis_order::bhnd);
        const tensor bnhd = view_of(source, axis_order::bnhd);

        EXPECT_EQ(bhnd.shape, (shape4{2, 3, 5, 7}));
        EXPECT_EQ(at(bhnd, {1, 2, 3, 4}), static_cast<float>(((1 * 3 + 2) * 5 + 3) * 7 + 4));
        EXPECT_EQ(bnhd.shape, (shape4{2, 5, 3, 7}));
        EXPECT_EQ(at(bnhd, {1, 4, 2, 6}), static_cast<float>(((1 * 3 + 2) * 5 + 4) * 7 + 6));
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(bhnd.data) % 64, 0U);
    }
}

TEST(array_file, opaque_elements_need_the_users_word) {
    const TemporaryFolder folder;
    std::string text = npy_header(data_type::f16, shape_type{1, 2});
    text.replace(text.find("<f2"), 3, "<V2");
    write_file(folder.file("q.npy"), text + "abcd");
    const array_source source = open_npy(folder.file("q.npy"), "q");

    EXPECT_EQ(view_of(source, axis_order::bhnd, data_type::bf16).type, data_type::bf16);
    expect_bad_input([&] { view_of(source, axis_order::bhnd); }, {"q (", "say --dtype bf16"});
    expect_bad_input([&] { view_of(source, axis_order::bhnd, data_type::f16); },
                     {"q (", "but --dtype says f16"});
}

TEST(array_file, views_that_cannot_be_are_refused) {
    const TemporaryFolder folder;
    const std::string path = folder.file("q.npy");
    const auto refuse = [&](const shape_type& shape, const std::string& part) {
        write_counting(path, "q", shape);
        expect_bad_input([&] { view_of(open_npy(path, "q"), axis_order::bhnd); },
                         {"q (" + path + "): ", part});
    };
    refuse({5}, "has 1 axis, expected 4");
    refuse({1, 1, 1, 1, 5}, "has 5 axes, expected 4");

    write_counting(path, "q", {3, 5});
    expect_bad_input([&] { view_of(open_npy(path, "q"), axis_order::bhnd, data_type::f16); },
                     {"holds f32, but --dtype says f16"});
    std::string text = read_file(path);
    text[8] = static_cast<char>(text[8] - 1);
    text.erase(text.size() - 61, 1);
    write_file(path, text);
    expect_bad_input([&] { view_of(open_npy(path, "q"), axis_order::bhnd); },
                     {"the data begin at byte 127, expected a multiple of their element size 4"});
}

TEST(array_file, files_that_are_none_are_refused) {
    const TemporaryFolder folder;
    ::mkfifo(folder.file("pipe").c_str(), 0600);
    write_counting(folder.file("x.safetensors"), "q", {2, 3});
    write_counting(folder.file("x.npy"), "q", {2, 3});
    const auto refuse = [&](const std::string& path, const std::string& part) {
        expect_bad_input([&] { open_npy(path, "k"); }, {"k (" + path + "): ", part});
    };
    refuse(folder.file("none.npy"), "no such file or directory");
    refuse(folder.path(), "folder");
    refuse(folder.file("pipe"), "regular file");
    refuse("/dev/null", "regular file");
    refuse(folder.file("x.safetensors"), "give it as --input");
    expect_bad_input(
        [&] {
            open_safetensors(folder.file("x.npy"), {"q", "k", "v"});
        },
        {"this is a NumPy file"});
    expect_bad_input(
        [&] {
            open_safetensors(folder.file("x.safetensors"), {"q", "k", "v"});
        },
        {"k (", "has no tensor 'k'; it has q"});
}

TEST(array_file, outputs_of_other_kinds_are_refused) {
    const TemporaryFolder folder;
    const auto refuse = [&](const std::string& name, data_type type, const std::string& part) {
        expect_error(error_code::usage,
                     [&] {
                         create_array(folder.file(name), "--out", "o", type, shape_type{2, 2});
                     },
                     {"--out " + folder.file(name), part});
    };
    refuse("o.bin", data_type::f32, "must end in .npy or .safetensors");
    refuse("o.npy", data_type::bf16, "cannot hold bf16");
    EXPECT_TRUE(folder.names().empty());
}

} // namespace
} // namespace cqsa::files
