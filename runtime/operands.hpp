// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/attend.hpp"

namespace cqsa {

/// The five arrays of an attention, checked to fit together.
struct operands {
    tensor q;
    tensor k;
    tensor v;
    mutable_tensor out;
    mutable_tensor lse; ///< data == nullptr: not wanted
};

/// The problem that the operands pose. Throws Error(bad_input) with a sentence that names the
/// operand, what was expected and what came.
problem check(const operands& given, const attend_options& options);

/// options.scale or 1/√head_dim. Throws Error(usage) when it is not a finite number.
double scale_of(const problem& problem, const attend_options& options);

} // namespace cqsa
