// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/machine.hpp"
#include "planner/plan.hpp"

#include <cstdint>
#include <vector>

namespace cqsa {

/// Bytes of the buffers that hold a plan's blocks outside the caller's memory. The last, short
/// block of a sequence takes as much as the others, and where O with LSE is about as large as Q
/// they take equal buffers, so that one can follow the other.
struct buffer_sizes {
    explicit buffer_sizes(const plan& plan);
    std::int64_t query;
    std::int64_t key; ///< K with V
    std::int64_t state;
    std::int64_t result; ///< O with LSE
};

/// Buffers of one size on a device.
struct device_buffers {
    std::int64_t bytes = 0;
    std::int64_t count = 0;
    bool operator==(const device_buffers&) const = default;
};

/// What must be on one device at a time so that the plan runs, in bytes of handles:
/// the device's share of the admitted strips (Q and state), the keys and values of the running and
/// of the fetched task (of one more where several workers share the strips and a device has two),
/// two results on their way out (on a lone GPU with two strips one), two states that partial ones
/// are merged into, and the kernels' workspace.
struct working_set {
    std::int64_t strips_bytes = 0;
    std::int64_t segments_bytes = 0;
    std::int64_t results_bytes = 0;
    std::int64_t merges_bytes = 0;
    std::int64_t workspace_bytes = 0;
    std::int64_t allocated_bytes = 0; ///< all of them, in whole pages
};
working_set device_working_set(const plan& plan, const machine& machine);

/// What a device keeps between uses in the rest of its budget, in this order: the states of all
/// query blocks (quorum_major: otherwise they travel to host memory and back at each visit), keys
/// and values, queries, a second result. `key_blocks`, `query_blocks` and `results` count those of
/// the working set as well.
struct residency {
    bool states = false;
    std::int64_t key_blocks = 0;
    bool queries = false; ///< all
    std::int64_t query_blocks = 0;
    std::int64_t results = 0;
    std::int64_t device_bytes = 0;       ///< the working set and what is kept, in whole pages
    std::vector<device_buffers> buffers; ///< all that the run holds on the device, sorted by size
};
residency device_residency(const plan& plan, const machine& machine);

/// Buffers that blocks of queries have there: with those of results, where a block's result takes
/// the place of its queries, each of them then taken from its load until its result has left. So it
/// is in query-major order, if they are of one size.
std::int64_t query_buffers(const plan& plan, const residency& kept);

/// What the run adds to the caller's arrays in host memory: on a CPU the states of the strips that
/// are admitted or just being released (quorum_major: of all query blocks) and the workspace;
/// with GPUs the states that they cannot keep.
std::int64_t host_bytes(const plan& plan, const machine& machine);

/// Workers that a plan's interleaved strips are shared between: all GPUs, and a CPU that helps.
std::int64_t workers(const machine& machine);

} // namespace cqsa
