// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/files/array_file.hpp"

#include <algorithm>
#include <string_view>

namespace cqsa::test {

/// Makes a .npy file created for f16 one of NumPy's opaque 2-byte elements, the form in which bf16
/// is read (and never written).
inline void mark_as_bfloat16(files::array_sink& sink) {
    auto* header = reinterpret_cast<char*>(sink.file.bytes().data());
    constexpr std::string_view half = "<f2";
    constexpr std::string_view opaque = "<V2";
    std::ranges::copy(opaque, std::search(header, header + 128, half.begin(), half.end()));
}

} // namespace cqsa::test
