// SPDX-License-Identifier: Apache-2.0
#include "tests/codelets/emulated_tiles.hpp"

#if defined(CQSA_X86_KERNELS)

#include "codelets/attend/cpu/bf16_tiles.hpp"
#include "codelets/attend/cpu/tile.hpp"

#include <bit>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace cqsa::test {
namespace {

/// Eight tile registers; using one while they are not configured ends the program, as it does on
/// the processor.
class EmulatedTiles {
  public:
    static void configure() { configured = true; }
    static void release() { configured = false; }
    template<int t>
    static void zero() {
        std::memset(tile(t), 0, sizeof registers[t]);
    }
    template<int t>
    static void load(const void* from, std::int64_t row_bytes) {
        for (int r = 0; r < 16; ++r) {
            std::memcpy(tile(t)[r], static_cast<const char*>(from) + r * row_bytes, 64);
        }
    }
    template<int t>
    static void store(void* to, std::int64_t row_bytes) {
        for (int r = 0; r < 16; ++r) {
            std::memcpy(static_cast<char*>(to) + r * row_bytes, tile(t)[r], 64);
        }
    }
    template<int c, int a, int b>
    static void multiply_add() {
        rows* const sums = tile(c);
        const rows* const left = tile(a);
        const rows* const right = tile(b);
        for (int r = 0; r < 16; ++r) {
            for (int k = 0; k < 16; ++k) {
                const float low_left = low(left[r][k]);
                const float high_left = high(left[r][k]);
                for (int n = 0; n < 16; ++n) {
                    auto sum = std::bit_cast<float>(sums[r][n]);
                    sum += low_left * low(right[k][n]);
                    sum += high_left * high(right[k][n]);
                    sums[r][n] = std::bit_cast<std::uint32_t>(sum);
                }
            }
        }
    }

  private:
    using rows = std::uint32_t[16];
    static rows* tile(int t) {
        if (!configured) {
            std::abort();
        }
        return registers[t];
    }
    static float low(std::uint32_t pair) { return std::bit_cast<float>(pair << 16); }
    static float high(std::uint32_t pair) { return std::bit_cast<float>(pair & 0xffff0000U); }

    static thread_local std::uint32_t registers[8][16][16];
    static thread_local bool configured;
};
thread_local std::uint32_t EmulatedTiles::registers[8][16][16];
thread_local bool EmulatedTiles::configured = false;

} // namespace

const cpu::attend_kernel& emulated_tiles_attend() {
    static constexpr cpu::attend_kernel kernel = cpu::kernel_of<cpu::bf16_tiles<EmulatedTiles>>();
    return kernel;
}

} // namespace cqsa::test

#else

namespace cqsa::test {

const cpu::attend_kernel& emulated_tiles_attend() {
    return cpu::portable_attend(data_type::bf16);
}

} // namespace cqsa::test

#endif
