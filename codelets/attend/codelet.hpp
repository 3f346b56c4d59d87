// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/attend/attend.hpp"
#include "codelets/run.hpp"

#include <vector>

namespace cqsa {

/// Arguments of an attend task. The task's buffers, in order:
///   Q of each query block (R), state of each query block (RW; W where fresh),
///   K with V of each key block (R), workspace (SCRATCH, only if has_workspace), and any number of
///   handles without content that only order the task.
struct attend_arguments : task_arguments {
    using task_arguments::task_arguments;
    std::vector<query_block> queries; ///< tokens, position and fresh set; views filled by the task
    std::vector<key_block> keys;      ///< tokens and position set; views filled by the task
    std::vector<pair_kind> pairs;
    bool followed = false; ///< it is not the last attend of the run
    bool has_workspace = false;
};

starpu_codelet& attend_codelet();

} // namespace cqsa
