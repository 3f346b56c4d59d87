// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

namespace cqsa {

/// The instruction sets the CPU codelets are built for, each containing those before it.
enum class cpu_isa : std::uint8_t {
    portable,   ///< plain C++, any processor
    avx2,       ///< AVX2, FMA, F16C
    avx512,     ///< AVX-512 F, BW, DQ, VL
    avx512bf16, ///< AVX512_BF16: products of bf16 pairs
    amx,        ///< AMX-BF16: products of bf16 tiles
};

/// "portable", "avx2", "avx512", "avx512bf16" or "amx".
constexpr std::string_view name_of(cpu_isa isa) {
    constexpr std::string_view names[] = {"portable", "avx2", "avx512", "avx512bf16", "amx"};
    return names[static_cast<int>(isa)];
}

/// The best that this build, processor and operating system offer. Where they offer AMX, the first
/// call asks Linux for the process's permission to use it.
cpu_isa best_isa();

/// best_isa(), or less where the environment variable CQSA_CPU_ISA names less (read once). Throws
/// Error(usage) when the variable holds no name of an instruction set.
cpu_isa selected_isa();

} // namespace cqsa
