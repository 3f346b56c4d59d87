// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/machine.hpp"
#include "planner/plan.hpp"

#include <cstdint>

namespace cqsa {

/// Bytes of handles as an allocator hands them out.
class AllocatedBytes {
  public:
    explicit AllocatedBytes(const allocation_rules& rules) : rules_(rules) {}

    void add(std::int64_t handles, std::int64_t handle_bytes);
    [[nodiscard]] std::int64_t total() const;
    /// Whether every handle so far is too large for a slab.
    [[nodiscard]] bool outside_slabs() const { return small_bytes_ == 0; }

  private:
    allocation_rules rules_;
    std::int64_t large_bytes_ = 0;
    std::int64_t small_bytes_ = 0;
};

/// What must be on one device at a time so that the plan runs, in bytes of handles:
/// the device's share of the admitted strips (Q and state), the keys and values of the running and
/// of the fetched task, two results on their way out, two states that partial ones are merged into,
/// and the kernels' workspace.
struct working_set {
    std::int64_t strips_bytes = 0;
    std::int64_t segments_bytes = 0;
    std::int64_t results_bytes = 0;
    std::int64_t merges_bytes = 0;
    std::int64_t workspace_bytes = 0;
    std::int64_t allocated_bytes = 0; ///< all of them, as the device's allocator hands them out
    bool outside_slabs = true;        ///< no handle is so small that it fills a slab
};
working_set device_working_set(const plan& plan, const machine& machine);

/// What a device keeps between uses in the rest of its budget, in this order: the states of all
/// query blocks (quorum_major: otherwise they travel to host memory and back at each visit), keys
/// and values, queries. `key_blocks` counts those of the working set as well.
struct residency {
    bool states = false;
    std::int64_t key_blocks = 0;
    bool queries = false;
    std::int64_t device_bytes = 0; ///< peak: the working set and what is kept
};
residency device_residency(const plan& plan, const machine& machine);

/// What the run adds to the caller's arrays in host memory: on a CPU the states of the strips that
/// are admitted or just being released (quorum_major: of all query blocks) and the workspace;
/// with GPUs the states that they cannot keep.
std::int64_t host_bytes(const plan& plan, const machine& machine);

/// Workers that a plan's interleaved strips are shared between: all GPUs, and the CPU.
std::int64_t workers(const machine& machine);

} // namespace cqsa
