// SPDX-License-Identifier: Apache-2.0
#include "runtime/files/array_file.hpp"

#include "runtime/files/npy_header.hpp"
#include "runtime/files/safetensors_header.hpp"
#include "runtime/files/text.hpp"

#include <cstring>
#include <utility>

namespace cqsa::files {
namespace {

std::string operand_name(const std::string& name, const std::string& path) {
    return name + " (" + printable(path) + ")";
}

} // namespace

array_source open_npy(const std::string& path, const std::string& name) {
    const std::string operand = operand_name(name, path);
    auto file = std::make_shared<const MappedFile>(path, operand);
    if (path.ends_with(".safetensors") && !is_npy(file->bytes()))
        bad_input(operand, "this is a .safetensors file, give it as --input");
    array_layout layout = parse_npy(file->bytes(), operand);
    return {std::move(file), std::move(layout), operand};
}

std::array<array_source, 3> open_safetensors(const std::string& path,
                                             const std::array<std::string, 3>& names) {
    const std::string operand = operand_name("input", path);
    const auto file = std::make_shared<const MappedFile>(path, operand);
    if (is_npy(file->bytes()))
        bad_input(operand, "this is a NumPy file, give one each as --q, --k and --v");
    const safetensors_directory directory = parse_safetensors(file->bytes(), operand);
    std::array<array_source, 3> out;
    for (std::size_t i = 0; i < out.size(); ++i) {
        out[i].file = file;
        out[i].operand = operand_name(names[i], path);
        out[i].layout = find_tensor(directory, names[i], out[i].operand);
    }
    return out;
}

std::array<std::int64_t, 4> tensor_shape(std::span<const std::int64_t> file_shape,
                                         axis_order order) {
    std::array<std::int64_t, 4> shape{1, 1, 1, 1};
    for (std::size_t i = 0; i < file_shape.size(); ++i)
        shape[4 - file_shape.size() + i] = file_shape[i];
    // Without a heads axis the orders are the same; with one, bnhd has it after the tokens.
    if (order == axis_order::bnhd && file_shape.size() > 2) std::swap(shape[1], shape[2]);
    return shape;
}

std::array<std::int64_t, 4> tensor_strides(const std::array<std::int64_t, 4>& shape,
                                           axis_order order) {
    const auto [batch, heads, tokens, head_dim] = shape;
    if (order == axis_order::bhnd)
        return {heads * tokens * head_dim, tokens * head_dim, head_dim, 1};
    return {tokens * heads * head_dim, head_dim, heads * head_dim, 1};
}

tensor view_of(const array_source& source, axis_order order, std::optional<data_type> type) {
    const array_layout& layout = source.layout;
    if (layout.shape.size() < 2 || layout.shape.size() > 4)
        bad_input(source.operand,
                  "the shape " + text_of(layout.shape) + " has " +
                      std::to_string(layout.shape.size()) +
                      (layout.shape.size() == 1 ? " axis" : " axes") +
                      ", expected 4 (batch, heads, tokens, head_dim), or the last 3 or 2 of them");
    if (layout.opaque && !type)
        bad_input(source.operand,
                  "the array holds two-byte elements of no known type (as ml_dtypes "
                  "saves bfloat16), say --dtype bf16 if they are bf16");
    if (type && *type != layout.type)
        bad_input(source.operand, "the array holds " +
                                      std::string(layout.opaque ? "two-byte elements of no known "
                                                                  "type"
                                                                : name_of(layout.type)) +
                                      ", but --dtype says " + std::string(name_of(*type)));
    if (layout.offset % bytes_of(layout.type) != 0)
        bad_input(source.operand,
                  "the data begin at byte " + std::to_string(layout.offset) +
                      ", expected a multiple of their element size " +
                      std::to_string(bytes_of(layout.type)) +
                      " (write the file again with a current NumPy or safetensors)");
    tensor view;
    view.data = source.file->bytes().data() + layout.offset;
    view.type = layout.type;
    view.shape = tensor_shape(layout.shape, order);
    view.strides = tensor_strides(view.shape, order);
    return view;
}

std::vector<std::int64_t> file_shape(const std::array<std::int64_t, 4>& shape, axis_order order,
                                     std::size_t rank) {
    std::array<std::int64_t, 4> axes = shape;
    if (order == axis_order::bnhd && rank > 2) std::swap(axes[1], axes[2]);
    return {axes.end() - static_cast<std::ptrdiff_t>(rank), axes.end()};
}

void check_array_name(const std::string& path, const std::string& option, data_type type) {
    const bool npy = path.ends_with(".npy");
    if (!npy && !path.ends_with(".safetensors"))
        throw Error(error_code::usage,
                    option + " " + printable(path) + ": the name must end in .npy or .safetensors");
    if (npy && type == data_type::bf16)
        throw Error(error_code::usage,
                    option + " " + printable(path) +
                        ": NumPy files cannot hold bf16, write a .safetensors file or f32");
}

array_sink create_array(const std::string& path, const std::string& option,
                        const std::string& tensor_name, data_type type,
                        std::span<const std::int64_t> shape) {
    check_array_name(path, option, type);
    const std::string header = path.ends_with(".npy")
                                   ? npy_header(type, shape)
                                   : safetensors_header(tensor_name, type, shape);
    const std::int64_t bytes =
        static_cast<std::int64_t>(header.size()) + array_bytes(type, shape).value();
    array_sink sink{OutputFile(path, bytes, option + " " + printable(path))};
    const auto mapped = sink.file.bytes();
    std::memcpy(mapped.data(), header.data(), header.size());
    sink.data = mapped.data() + header.size();
    return sink;
}

} // namespace cqsa::files
