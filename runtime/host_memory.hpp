// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace cqsa {

/// Main memory of this machine in bytes, within the limit of the process's control group.
struct host_memory {
    std::int64_t total_bytes = 0;
    std::int64_t available_bytes = 0; ///< free, or freed by the system without writing to disk
};

host_memory read_host_memory();

} // namespace cqsa
