// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/attend/attend.hpp"
#include "codelets/attend/cpu/kernel.hpp"

#include <cstddef>
#include <span>

namespace cqsa::openmp {

/// The kernel of an instruction set, which must not exceed best_isa().
const cpu::attend_kernel& attend_kernel_of(cpu_isa isa, data_type type);

/// attend_workspace_bytes and attend with a given kernel instead of that of selected_isa(). A
/// result depends on the kernel, never on the number of threads.
std::size_t attend_workspace_bytes(const attend_task& task, int threads,
                                   const cpu::attend_kernel& kernel);
void attend(const attend_task& task, std::span<std::byte> workspace, int threads,
            const cpu::attend_kernel& kernel);

} // namespace cqsa::openmp
