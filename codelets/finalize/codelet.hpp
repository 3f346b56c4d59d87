// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/finalize/finalize.hpp"
#include "codelets/run.hpp"

namespace cqsa {

/// Arguments of a finalize task. The task's buffers, in order: O with lse, if wanted (W), S_i (R;
/// absent when fresh), and any number of handles without content.
struct finalize_arguments : task_arguments {
    using task_arguments::task_arguments;
    std::int64_t tokens = 0;
    bool fresh = false;
};

starpu_codelet& finalize_codelet();

} // namespace cqsa
