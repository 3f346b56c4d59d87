// SPDX-License-Identifier: Apache-2.0
#include "codelets/attend/cpu/tile.hpp"
#include "codelets/cpu/simd_avx512.hpp"

namespace cqsa::cpu {

const attend_kernel& avx512_attend(data_type type) {
    using single = avx512_f32;
    using twice = avx512_f64;
    static constexpr attend_kernel f16 = kernel_of<widening_engine<single, half>>();
    static constexpr attend_kernel bf16 = kernel_of<widening_engine<single, bfloat16>>();
    static constexpr attend_kernel f32 = kernel_of<widening_engine<single, float>>();
    static constexpr attend_kernel f64 = kernel_of<widening_engine<twice, double>>();
    static constexpr const attend_kernel* kernels[] = {&f16, &bf16, &f32, &f64};
    return *kernels[static_cast<int>(type)];
}

} // namespace cqsa::cpu
