// SPDX-License-Identifier: Apache-2.0
#include "codelets/cpu/isa.hpp"

#include "planner/error.hpp"

#include <algorithm>
#include <cstdlib>
#include <string>

#if defined(CQSA_X86_KERNELS)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace cqsa {
namespace {

#if defined(CQSA_X86_KERNELS)

struct registers {
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

registers cpuid(unsigned leaf, unsigned subleaf) {
    registers r;
    __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);
    return r;
}

constexpr bool has(unsigned word, std::initializer_list<int> bits) {
    return std::ranges::all_of(bits, [&](int b) { return (word >> b & 1U) != 0; });
}

/// The register states that the operating system saves (XCR0).
std::uint64_t saved_states() {
    std::uint32_t low = 0;
    std::uint32_t high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return std::uint64_t{high} << 32 | low;
}

/// Linux grants the tile registers' state per process, on request (Documentation/x86/xstate.rst).
bool tiles_permitted() {
    constexpr long arch_req_xcomp_perm = 0x1023;
    constexpr long xfeature_xtiledata = 18;
    return syscall(SYS_arch_prctl, arch_req_xcomp_perm, xfeature_xtiledata) == 0;
}

cpu_isa detect() {
    const registers basic = cpuid(1, 0);
    const registers extended = cpuid(7, 0);
    if (!has(basic.ecx, {12, 27, 28, 29}) || !has(extended.ebx, {5})) {
        return cpu_isa::portable;
    }
    const std::uint64_t states = saved_states();
    const auto saved = [&](std::uint64_t mask) { return (states & mask) == mask; };
    if (!saved(0x6)) {
        return cpu_isa::portable;
    }
    if (!has(extended.ebx, {16, 17, 30, 31}) || !saved(0xe6)) {
        return cpu_isa::avx2;
    }
    if (!has(cpuid(7, 1).eax, {5})) {
        return cpu_isa::avx512;
    }
    if (!has(extended.edx, {22, 24}) || !saved(0x600e6) || !tiles_permitted()) {
        return cpu_isa::avx512bf16;
    }
    return cpu_isa::amx;
}

#else

cpu_isa detect() {
    return cpu_isa::portable;
}

#endif

cpu_isa select() {
    const char* wish = std::getenv("CQSA_CPU_ISA");
    if (wish == nullptr || *wish == '\0') {
        return best_isa();
    }
    for (const cpu_isa isa :
         {cpu_isa::portable, cpu_isa::avx2, cpu_isa::avx512, cpu_isa::avx512bf16, cpu_isa::amx}) {
        if (name_of(isa) == wish) {
            return std::min(isa, best_isa());
        }
    }
    throw Error(error_code::usage,
                "CQSA_CPU_ISA must be portable, avx2, avx512, avx512bf16 or amx, but is '" +
                    std::string(wish) + "'.");
}

} // namespace

cpu_isa best_isa() {
    static const cpu_isa best = detect();
    return best;
}

cpu_isa selected_isa() {
    static const cpu_isa selected = select();
    return selected;
}

} // namespace cqsa
