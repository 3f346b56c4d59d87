// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/files/array_layout.hpp"

#include <cstddef>
#include <map>
#include <span>
#include <string>

namespace cqsa::files {

/// The directory of a .safetensors file: a u64 length, a JSON object, raw little-endian data.
/// Format: https://huggingface.co/docs/safetensors (the checks are those of its own reader).
struct safetensors_directory {
    struct entry {
        std::string dtype; ///< as written: "F32", "BF16", "I64", ...
        std::vector<std::int64_t> shape;
        std::int64_t begin = 0; ///< bytes from the start of the data
        std::int64_t end = 0;
    };
    std::map<std::string, entry> tensors;
    std::int64_t data_offset = 0;
};

/// Reads the directory of the file whose whole content is `file` and checks that its tensors cover
/// the data without overlap, hole or rest. Memory used is a small multiple of the header's true
/// length. Throws Error(bad_input); `operand` begins the sentence.
safetensors_directory parse_safetensors(std::span<const std::byte> file,
                                        const std::string& operand);

/// One tensor of the directory. Throws Error(bad_input) when it is not there or is not of type F16,
/// BF16, F32 or F64, C order being the format's only one.
array_layout find_tensor(const safetensors_directory& directory, const std::string& name,
                         const std::string& operand);

/// The header of a .safetensors file with one tensor, padded so that the data are 64-byte aligned.
std::string safetensors_header(const std::string& name, data_type type,
                               std::span<const std::int64_t> shape);

} // namespace cqsa::files
