// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/machine.hpp"

#include <cstdint>

namespace cqsa::test {

/// One GPU whose allocator rounds nothing, with rates that make round numbers.
inline machine one_gpu(std::int64_t device_bytes) {
    machine machine;
    machine.devices = 1;
    machine.device_bytes = device_bytes;
    machine.device_allocation = {.granularity_bytes = 1};
    machine.device_rates.attend_flops_per_second = 1e6;
    machine.device_rates.merge_bytes_per_second = 1e6;
    machine.device_rates.h2d_bytes_per_second = 1e4;
    machine.device_rates.d2h_bytes_per_second = 2e4;
    return machine;
}

} // namespace cqsa::test
