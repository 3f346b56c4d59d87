// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/problem.hpp"
#include "runtime/calibrate.hpp"
#include "runtime/gpu.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace cqsa {

/// Names of processors whose rates are alike. A CPU counts with the instruction set it uses.
std::string cpu_identity();
std::string gpu_identity(const gpu_facts& gpu, int count);

/// The rates that `cqsa calibrate` has stored for a processor.
struct stored_rates {
    std::string path; ///< where they are or would be; empty: there is no cache folder
    std::vector<measured_rates> rates; ///< empty: none are stored
    std::string damage;                ///< not empty: one sentence, why the file is ignored
};
stored_rates read_rates(std::string_view processor);

/// Adds to what is stored, or replaces those of the same type, head_dim and threads; a damaged file
/// is replaced. The file is written beside its name and renamed. Returns its path. Throws
/// Error(failure).
std::string store_rates(std::string_view processor, const std::vector<measured_rates>& rates);

/// Puts stored rates in the place of assumed ones: those of the problem's type and of the nearest
/// head_dim and number of threads, in proportion to the threads. `threads` is 0 for GPUs. What is
/// not measured (changes of strip, shortest and longest tasks) stays.
void use_stored_rates(rates& assumed, std::string_view processor, const problem& problem,
                      int threads);

} // namespace cqsa
