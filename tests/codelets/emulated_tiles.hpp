// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/attend/cpu/kernel.hpp"

namespace cqsa::test {

/// The AMX kernel for bf16 on tile registers emulated in plain code, so that it is tested on every
/// machine with AVX512_BF16. Only where best_isa() is at least avx512bf16.
const cpu::attend_kernel& emulated_tiles_attend();

} // namespace cqsa::test
