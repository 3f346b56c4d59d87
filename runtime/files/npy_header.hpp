// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/files/array_layout.hpp"

#include <cstddef>
#include <span>
#include <string>

namespace cqsa::files {

/// The array of a NumPy file (NEP 1; versions 1.0, 2.0 and 3.0) whose whole content is `file`.
/// Float types f2, f4, f8 and opaque V2, little-endian, C order; everything the header says is
/// checked against the file's size before it is believed. Bytes behind the array are allowed, as
/// in NumPy. Throws Error(bad_input); `operand` begins the sentence.
array_layout parse_npy(std::span<const std::byte> file, const std::string& operand);

/// True when the file starts as NumPy files do.
bool is_npy(std::span<const std::byte> file);

/// The header of a NumPy file, version 1.0, padded so that the data are 64-byte aligned.
/// `type` is f16, f32 or f64: NumPy has no bf16.
std::string npy_header(data_type type, std::span<const std::int64_t> shape);

} // namespace cqsa::files
