// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/attend.hpp"
#include "runtime/files/array_layout.hpp"
#include "runtime/files/mapped_file.hpp"
#include "runtime/files/output_file.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace cqsa::files {

/// Order of a tensor's axes in a file. An array of three axes is one of batch 1, an array of two
/// axes one of batch 1 and one head, so a file's axes are always the last ones of its order.
enum class axis_order : std::uint8_t {
    bhnd, ///< [batch, heads, tokens, head_dim], [heads, tokens, head_dim], [tokens, head_dim]
    bnhd, ///< [batch, tokens, heads, head_dim], [tokens, heads, head_dim], [tokens, head_dim]
};

/// A tensor in a mapped file.
struct array_source {
    std::shared_ptr<const MappedFile> file;
    array_layout layout;
    std::string operand; ///< how sentences name it: "q (queries.npy)"
};

/// Opens a .npy file. Throws Error(bad_input).
array_source open_npy(const std::string& path, const std::string& name);

/// Opens some tensors of one .safetensors file, mapped once. Throws Error(bad_input).
std::array<array_source, 3> open_safetensors(const std::string& path,
                                             const std::array<std::string, 3>& names);

/// The four axes [batch, heads, tokens, head_dim] of an array of two to four axes.
std::array<std::int64_t, 4> tensor_shape(std::span<const std::int64_t> file_shape,
                                         axis_order order);

/// The same for a packed array's strides, in elements.
std::array<std::int64_t, 4> tensor_strides(const std::array<std::int64_t, 4>& shape,
                                           axis_order order);

/// A view of the tensor. Throws Error(bad_input) unless it has two to four axes, its elements are
/// aligned in memory, and its type is known: `type`, when given, is what the user says it is, which
/// makes opaque elements bf16 and must agree with all others.
tensor view_of(const array_source& source, axis_order order,
               std::optional<data_type> type = std::nullopt);

/// The opposite of tensor_shape: the axes of an output file that goes with an input of `rank` axes.
std::vector<std::int64_t> file_shape(const std::array<std::int64_t, 4>& shape, axis_order order,
                                     std::size_t rank);

/// An array file being written; it appears at commit.
struct array_sink {
    OutputFile file;
    void* data = nullptr; ///< 64-byte aligned in the file's mapping
};

/// Throws Error(usage) unless an array of this type can be written to this name: it must end in
/// .npy or .safetensors, and NumPy knows no bf16. `option` begins the sentence: "--out".
void check_array_name(const std::string& path, const std::string& option, data_type type);

/// Creates the file for one array, of the format its name ends in. Throws what check_array_name and
/// OutputFile do.
array_sink create_array(const std::string& path, const std::string& option,
                        const std::string& tensor_name, data_type type,
                        std::span<const std::int64_t> shape);

} // namespace cqsa::files
