// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace cqsa {

/// Whether all of this memory is the process's own and may be written: no part of it maps a file.
/// False where the system does not say (/proc/self/maps).
bool is_anonymous_memory(std::uintptr_t begin, std::size_t bytes);

} // namespace cqsa
