// SPDX-License-Identifier: Apache-2.0
#include "runtime/files/array_layout.hpp"

namespace cqsa::files {

std::optional<std::int64_t> array_bytes(data_type type, std::span<const std::int64_t> shape) {
    std::int64_t bytes = bytes_of(type);
    bool empty = false;
    for (const std::int64_t extent : shape) {
        if (extent == 0)
            empty = true;
        else if (__builtin_mul_overflow(bytes, extent, &bytes))
            return std::nullopt;
    }
    return empty ? 0 : bytes;
}

} // namespace cqsa::files
