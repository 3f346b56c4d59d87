// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

struct starpu_conf;

namespace cqsa {

/// StarPU measures the bus when it starts and finds no measurement of this machine stored, and then
/// resets the CUDA devices: the process would lose what it has on them, and its page-locked memory
/// would be locked no more. So StarPU's own program, starpu_calibrate_bus, measures beforehand, in
/// a process of its own.
///
/// Called before starpu_init(&conf). Does nothing where StarPU would not measure (the stored
/// measurement is of as many cores, NUMA nodes and GPUs, and conf wants no new one) or sees no GPU.
/// Processes that start at the same time measure once.
/// Returns nothing, or one sentence: why StarPU will measure all the same.
std::string measure_bus_apart(starpu_conf& conf);

} // namespace cqsa
