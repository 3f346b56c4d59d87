// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/plan.hpp"
#include "planner/workload.hpp"

#include <cstdint>

namespace cqsa {

/// Key tokens loaded to a device that holds up to `resident_blocks` key blocks at a time and gives
/// up the least recently used. Groups of strips walk back and forth, so each finds some of what the
/// last one left. In O(log): exact for query-major plans with segments of one block, within a
/// segment per group for longer ones, and an estimate from averages for quorum-major plans.
std::int64_t predict_key_loads(const plan& plan, const workload& work,
                               std::int64_t resident_blocks);

/// The same by going through all steps with such a cache: exact for every plan.
std::int64_t simulate_key_loads(const plan& plan, std::int64_t resident_blocks);

} // namespace cqsa
