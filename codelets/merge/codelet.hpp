// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/merge/merge.hpp"
#include "codelets/run.hpp"

namespace cqsa {

/// Arguments of a merge task. The task's buffers, in order: S_i (RW; W when fresh), P_{s,i} (R),
/// and any number of handles without content.
struct merge_arguments : task_arguments {
    using task_arguments::task_arguments;
    std::int64_t tokens = 0;
    bool fresh = false;
};

starpu_codelet& merge_codelet();

} // namespace cqsa
