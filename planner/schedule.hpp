// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/machine.hpp"
#include "planner/memory_model.hpp"
#include "planner/plan.hpp"

#include <cstdint>

namespace cqsa {

/// Of a simulated run.
struct schedule {
    double seconds = 0;
    std::int64_t loaded_key_tokens = 0;
};

/// A query-major plan on a machine with one GPU and no CPU that helps, task by task: when each
/// attend task starts, which waits for its keys, for the host and, at a change of strips, for its
/// queries, how its tiles fill the multiprocessors, and when the last result is in host memory. The
/// bus brings keys as soon as a buffer is free. So it sees what predict_seconds has no formula for:
/// tasks at the diagonal too short to hide the next load, walks that find little of what the last
/// one left, and waves of tiles that no next launch fills because its keys come late. `kept` is the
/// plan's device_residency. It takes 0.2 to 0.4 us a task.
schedule simulate_schedule(const plan& plan, const machine& machine, const residency& kept);

} // namespace cqsa
