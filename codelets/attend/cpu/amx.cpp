// SPDX-License-Identifier: Apache-2.0
#include "codelets/attend/cpu/bf16_tiles.hpp"
#include "codelets/attend/cpu/tile.hpp"

#include <cstddef>
#include <cstdint>

namespace cqsa::cpu {
namespace {

/// The processor's tile registers, all 16 rows of 64 bytes. In assembler, because the compiler's
/// intrinsics want literal register numbers and do not say that they read and write memory.
struct hardware_tiles {
    static void configure() {
        struct alignas(64) {
            std::uint8_t palette = 1;
            std::uint8_t start_row = 0;
            std::uint8_t reserved[14] = {};
            std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
            std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
        } config;
        asm volatile("ldtilecfg %0" ::"m"(config));
    }
    static void release() { asm volatile("tilerelease"); }
    template<int t>
    static void zero() {
        asm volatile("tilezero %%tmm%c0" ::"i"(t));
    }
    template<int t>
    static void load(const void* from, std::int64_t row_bytes) {
        asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(row_bytes), "i"(t)
                     : "memory");
    }
    template<int t>
    static void store(void* to, std::int64_t row_bytes) {
        asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(row_bytes), "i"(t) : "memory");
    }
    template<int c, int a, int b>
    static void multiply_add() {
        asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(c), "i"(a), "i"(b));
    }
};

} // namespace

const attend_kernel& amx_attend(data_type type) {
    static constexpr attend_kernel bf16 = kernel_of<bf16_tiles<hardware_tiles>>();
    return type == data_type::bf16 ? bf16 : avx512bf16_attend(type);
}

} // namespace cqsa::cpu
