// SPDX-License-Identifier: Apache-2.0
#include "codelets/attend/cpu/bf16_pairs.hpp"
#include "codelets/attend/cpu/tile.hpp"

namespace cqsa::cpu {

const attend_kernel& avx512bf16_attend(data_type type) {
    static constexpr attend_kernel bf16 = kernel_of<bf16_pairs>();
    return type == data_type::bf16 ? bf16 : avx512_attend(type);
}

} // namespace cqsa::cpu
