// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/machine.hpp"
#include "planner/memory_model.hpp"
#include "planner/plan.hpp"

#include <cstdint>

namespace cqsa {

/// On a lone GPU the operands of an attend task are asked for when the one so many places before it
/// has ended: by the graph (runtime/graph.hpp), and so here.
constexpr std::int64_t attends_ahead = 3;

/// Then the keys of the next so many attend tasks stay where they already are, as far as there are
/// buffers for them, and others make room in the order of their last use.
constexpr std::int64_t attends_in_sight = 12;

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
