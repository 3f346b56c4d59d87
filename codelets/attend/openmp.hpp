// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/attend/attend.hpp"
#include "codelets/cpu/isa.hpp"

#include <cstddef>
#include <span>

namespace cqsa::openmp {

/// attend_workspace_bytes and attend with a given instruction set, which must not exceed
/// best_isa(). A result depends on the instruction set, never on the number of threads.
std::size_t attend_workspace_bytes(const attend_task& task, int threads, cpu_isa isa);
void attend(const attend_task& task, std::span<std::byte> workspace, int threads, cpu_isa isa);

} // namespace cqsa::openmp
