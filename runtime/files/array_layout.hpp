// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/problem.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace cqsa::files {

inline constexpr std::size_t most_axes = 32; ///< NumPy's own limit

/// One array inside a file, as its header tells and the file's size confirms: little-endian, C
/// order, packed, `bytes` bytes from `offset`.
struct array_layout {
    data_type type = data_type::f32;
    bool opaque = false; ///< elements of two bytes without a meaning (NumPy's void, as which
                         ///< ml_dtypes saves bfloat16): bf16 if the user says so
    std::vector<std::int64_t> shape;
    std::int64_t offset = 0;
    std::int64_t bytes = 0;
};

/// Bytes of a packed array; nothing where this, or the product of the non-zero extents, is more
/// than an int64_t holds. No extent is negative.
std::optional<std::int64_t> array_bytes(data_type type, std::span<const std::int64_t> shape);

} // namespace cqsa::files
