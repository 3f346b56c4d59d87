// SPDX-License-Identifier: Apache-2.0
#include "codelets/finalize/narrow.hpp"

namespace cqsa::cpu {
namespace {

void portable_to_half(const float* in, float factor, std::int64_t n, half* out) {
    for (std::int64_t i = 0; i < n; ++i) {
        out[i] = to_half(factor * in[i]);
    }
}

void portable_to_bfloat16(const float* in, float factor, std::int64_t n, bfloat16* out) {
    for (std::int64_t i = 0; i < n; ++i) {
        out[i] = to_bfloat16(factor * in[i]);
    }
}

} // namespace

const narrow_kernel& portable_narrow() {
    static constexpr narrow_kernel kernel{portable_to_half, portable_to_bfloat16};
    return kernel;
}

const narrow_kernel& narrow_of([[maybe_unused]] cpu_isa isa) {
#if defined(CQSA_X86_KERNELS)
    if (isa >= cpu_isa::avx2) {
        return avx2_narrow();
    }
#endif
    return portable_narrow();
}

} // namespace cqsa::cpu
