// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/problem.hpp"

#include <cstdint>

namespace cqsa::files {

/// Fills data[0, count) with standard normal numbers, in parallel with OpenMP.
///
/// Element i depends on (seed, stream, i) alone: Philox4x32-10 (Salmon et al., SC'11, from
/// Random123) with key = seed and counter = (i / 4, stream) gives four 32-bit words, Box-Muller
/// makes of each two words two normals in float, which are rounded to `type`. So arrays of one seed
/// and stream hold the same numbers in every type, and the bits do not depend on threads or
/// processor. The largest magnitude is √(2·31·ln 2) ≈ 6.56.
void fill_normal(void* data, data_type type, std::int64_t count, std::uint64_t seed,
                 std::uint64_t stream);

} // namespace cqsa::files
