// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/problem.hpp"

#include <cstdint>
#include <functional>
#include <limits>

namespace cqsa {

/// What a processor achieves, measured or assumed.
struct rates {
    bool measured = false;              ///< on this machine, rather than assumed for its kind
    double attend_flops_per_second = 0; ///< of a large attend task
    double merge_bytes_per_second = 0;  ///< memory read and written by merge and finalize
    double task_seconds = 0;            ///< fixed cost of a task
    double tile_seconds = 0; ///< devices only: cost of each tile of query rows in a task, where a
                             ///< launch begins on multiprocessors that the last one leaves; 0:
                             ///< every launch works whole waves of tiles
    double h2d_bytes_per_second = 0; ///< devices only: bus from host memory …
    double d2h_bytes_per_second = 0; ///< … and to it, at the same time
    double load_seconds = 0;  ///< devices only: the bus waits so long before each segment of keys,
                              ///< for a buffer and for the host
    double host_seconds = 0;  ///< devices only: the host's work for a task; those of a lone strip
                              ///< wait for it
    double strip_seconds = 0; ///< devices only: idle at a change of strip, beside the transfers of
                              ///< the strip's queries and results
    double boost = 0;         ///< devices only: after a pause computing takes so much less time …
    double boost_seconds = 0; ///< … and ever less so, until the clock is at the power limit
    double pin_bytes_per_second = 0;     ///< devices only: pinning host memory for states; 0: free
    double touch_bytes_per_second = 0;   ///< CPU only: first use of main memory, for states and
                                         ///< results; 0: free
    double shortest_task_seconds = 0.01; ///< shorter tasks are avoided …
    double longest_task_seconds = 2; ///< … and longer ones: progress, stopping and balance suffer
};

/// Whether a CPU beside GPUs takes part. The tasks of a strip follow each other, and a GPU has
/// three strips at most to choose from: a task that takes a CPU longer than a GPU would take for
/// one of each is waited for.
constexpr bool cpu_helps(double cpu_flops_per_second, double gpu_flops_per_second) {
    return 3 * cpu_flops_per_second >= gpu_flops_per_second;
}

/// Bytes of workspace of an attend task over at most so many query and key tokens.
using workspace_model = std::function<std::int64_t(
    const problem& problem, std::int64_t strip_tokens, std::int64_t segment_tokens)>;

/// The node that a plan is made for. A CPU counts as one worker that uses all its cores.
struct machine {
    bool cpu = false;
    int devices = 0;                                                    ///< GPUs, all alike
    std::int64_t device_bytes = 0;                                      ///< budget of each GPU
    std::int64_t host_bytes = std::numeric_limits<std::int64_t>::max(); ///< budget beside the
                                                                        ///< caller's arrays
    rates cpu_rates;
    rates device_rates{.load_seconds = 6e-5,
                       .strip_seconds = 3e-4,
                       .pin_bytes_per_second = 2e9,
                       .shortest_task_seconds = 1e-4};
    workspace_model cpu_workspace;    ///< empty: none
    workspace_model device_workspace; ///< empty: none
    /// A run takes its device memory in one piece of a multiple of so many bytes (CUDA: 2 MiB).
    std::int64_t device_page_bytes = std::int64_t{2} << 20;
    std::int64_t tiles_at_once = 0; ///< that a GPU works, each on multiprocessors of its own; 0:
                                    ///< not modelled
    std::int64_t tile_rows = 128;   ///< query rows of one head
    std::int64_t alignment = 128;   ///< blocks are multiples of so many tokens
};

} // namespace cqsa
