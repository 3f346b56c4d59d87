// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/machine.hpp"
#include "runtime/attend.hpp"
#include "runtime/starpu_context.hpp"

#include <cstdint>
#include <string>

namespace cqsa {

/// Empty when the context's GPUs can take the tasks of this problem, otherwise a sentence that says
/// why not ("" too when the context has none).
std::string gpus_unsupported(const StarpuContext& context, const problem& problem);

/// What the planner may use for a run in a StarPU that runs: its workers, the memory they may take
/// (options, then StarPU's limits, then what is free) and their rates: stored or assumed.
machine machine_of(const StarpuContext& context, const problem& problem,
                   const attend_options& options, bool with_gpus);

/// The same before StarPU runs, for a plan alone. Where a GPU is asked for (workers cuda, or
/// device_bytes with workers all) but none is there, the reference GPU of runtime/assumed_rates.hpp
/// stands in, so that plans for another machine can be made anywhere.
machine machine_for_plan(const problem& problem, const attend_options& options);

} // namespace cqsa
