// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/cpu/isa.hpp"
#include "codelets/half.hpp"

#include <cstdint>

namespace cqsa::cpu {

/// out[i] = factor · in[i], rounded to nearest even, for the 16-bit types.
struct narrow_kernel {
    void (*to_half)(const float* in, float factor, std::int64_t n, half* out) = nullptr;
    void (*to_bfloat16)(const float* in, float factor, std::int64_t n, bfloat16* out) = nullptr;
};

const narrow_kernel& portable_narrow();
const narrow_kernel& avx2_narrow();

/// The kernel for an instruction set; AVX2 already keeps up with the memory.
const narrow_kernel& narrow_of(cpu_isa isa);

} // namespace cqsa::cpu
