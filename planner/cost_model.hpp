// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/machine.hpp"
#include "planner/memory_model.hpp"
#include "planner/plan.hpp"
#include "planner/workload.hpp"

#include <cstdint>

namespace cqsa {

/// Bytes over the bus, all devices together.
struct bus_traffic {
    std::int64_t key_bytes = 0;    ///< K and V, host to device
    std::int64_t query_bytes = 0;  ///< Q, host to device
    std::int64_t state_bytes = 0;  ///< states that a device cannot keep, each way
    std::int64_t result_bytes = 0; ///< O and LSE, device to host
    [[nodiscard]] std::int64_t h2d() const { return key_bytes + query_bytes + state_bytes; }
    [[nodiscard]] std::int64_t d2h() const { return result_bytes + state_bytes; }
};
/// `loaded_key_tokens` is what one device loads (planner/key_loads.hpp).
bus_traffic predict_traffic(const plan& plan, const machine& machine, const workload& work,
                            const residency& kept, std::int64_t loaded_key_tokens);

/// The part of a launch's multiprocessors that work: rows in tiles ÷ (waves · tiles at once ·
/// tile_rows), where a tile is `tile_rows` query rows of one head and the last tile of a block is
/// not full; nor is the last wave of a launch, unless launches overlap, which those of a lone strip
/// do not. 1 when tiles are not modelled.
double tile_efficiency(const plan& plan, const machine& machine);

/// Tiles of so many query rows of one head, where tiles are modelled.
std::int64_t tiles_of(std::int64_t rows, const machine& machine);

/// Seconds that all attend tasks together spend at the beginnings and ends of tiles.
double tile_seconds(const plan& plan, const machine& machine, const workload& work);

/// Seconds of the whole run. Attention, merge and finalize tasks follow each other on each worker
/// and hide the loads of keys and values (unless lone strips of several workers leave nothing to
/// hide them behind) and the host's work for tasks (unless a lone strip waits for it). A single GPU
/// that computes two strips in turn also hides what a change of strip moves (Q and results). States
/// that were not kept, the first segment and the pinning of host memory for states are not hidden.
/// With several workers the strips are shared out whole. On a CPU alone the first use of the memory
/// of states and results comes on top.
double predict_seconds(const plan& plan, const machine& machine, const workload& work,
                       const bus_traffic& traffic);

/// Mean seconds of one attend task, and those of the largest, on a GPU if there is one.
double mean_task_seconds(const plan& plan, const machine& machine, const workload& work);
double longest_task_seconds(const plan& plan, const machine& machine, const workload& work);

/// Everything together, as it stands in plan.predicted. The first with the predicted loads of keys,
/// the second with those of a simulated cache, which takes a walk through all steps.
cost predict(const plan& plan, const machine& machine, const workload& work);
cost predict_by_simulation(const plan& plan, const machine& machine, const workload& work);

} // namespace cqsa
