// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/machine.hpp"
#include "runtime/gpu.hpp"

namespace cqsa {

/// Rates of this machine's CPU with a team of `threads`, without measuring: a table of what one
/// core reaches with each instruction set. The same on every call, so that the plan, and with it
/// every bit of the result, depends on the machine and the problem alone (and on what
/// runtime/stored_rates.hpp finds).
rates assumed_cpu_rates(const problem& problem, int threads);

/// Rates of a GPU, scaled by multiprocessors and clock from those measured on an H100.
rates assumed_gpu_rates(const problem& problem, const gpu_facts& gpu);

/// The GPU those rates were measured on, for plans without a GPU at hand.
gpu_facts reference_gpu();

} // namespace cqsa
