// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/machine.hpp"
#include "planner/make_plan.hpp"
#include "planner/problem.hpp"

namespace cqsa {

/// Throws Error(bad_input) unless the extents are as planner/problem.hpp says, and so small that
/// bytes and positions can be counted in 64 bits.
void check_problem(const problem& problem);

/// Throws Error(usage) unless the machine has a worker, rates to predict with, and budgets.
void check_machine(const machine& machine);

/// Throws Error(usage) when a request makes no sense by itself or beside another.
void check_request(const plan_request& request);

} // namespace cqsa
