// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/cuda/ptx.cuh"

/// wgmma.mma_async m64nNk16: D (64×N, fp32, N/2 registers a thread) = or += A (64×16) · B (16×N).
/// Fragments (PTX ISA, "Register Fragments for wgmma.mma_async.m64nNk16"): warp w of the warpgroup
/// has rows 16w to 16w+15; D[4i + e] of a lane is row lane/4 + 8·(e/2), column 8i + 2·(lane%4) +
/// e%2. Two neighbouring 8-column blocks of D, packed to 16 bit, are an A fragment without a
/// shuffle.
namespace cqsa::cuda::ptx {

#define CQSA_D8(i)                                                                                 \
    "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]),    \
        "+f"(d[i + 6]), "+f"(d[i + 7])
#define CQSA_D16(i) CQSA_D8(i), CQSA_D8(i + 8)
#define CQSA_D32(i) CQSA_D16(i), CQSA_D16(i + 16)
#define CQSA_D64(i) CQSA_D32(i), CQSA_D32(i + 32)
#define CQSA_R0 "%0, %1, %2, %3, %4, %5, %6, %7"
#define CQSA_R8 "%8, %9, %10, %11, %12, %13, %14, %15"
#define CQSA_R16 "%16, %17, %18, %19, %20, %21, %22, %23"
#define CQSA_R24 "%24, %25, %26, %27, %28, %29, %30, %31"
#define CQSA_R32 "%32, %33, %34, %35, %36, %37, %38, %39"
#define CQSA_R40 "%40, %41, %42, %43, %44, %45, %46, %47"
#define CQSA_R48 "%48, %49, %50, %51, %52, %53, %54, %55"
#define CQSA_R56 "%56, %57, %58, %59, %60, %61, %62, %63"
#define CQSA_R64 "%64, %65, %66, %67, %68, %69, %70, %71"
#define CQSA_R72 "%72, %73, %74, %75, %76, %77, %78, %79"
#define CQSA_R80 "%80, %81, %82, %83, %84, %85, %86, %87"
#define CQSA_R88 "%88, %89, %90, %91, %92, %93, %94, %95"
#define CQSA_R_16 CQSA_R0 ", " CQSA_R8
#define CQSA_R_32 CQSA_R_16 ", " CQSA_R16 ", " CQSA_R24
#define CQSA_R_40 CQSA_R_32 ", " CQSA_R32
#define CQSA_R_48 CQSA_R_40 ", " CQSA_R40
#define CQSA_R_56 CQSA_R_48 ", " CQSA_R48
#define CQSA_R_64 CQSA_R_56 ", " CQSA_R56
#define CQSA_R_88 CQSA_R_64 ", " CQSA_R64 ", " CQSA_R72 ", " CQSA_R80
#define CQSA_R_96 CQSA_R_88 ", " CQSA_R88

/// D = (accumulate ? D : 0) + A·Bᵀ, both operands in shared memory with contiguous inner dimension.
template<class Element, int N>
__device__ void product_shared(float* d, std::uint64_t a, std::uint64_t b, bool accumulate);

/// D += A·B, A in registers, B in shared memory with contiguous columns.
template<class Element, int N>
__device__ void product_registers(float* d, const std::uint32_t* a, std::uint64_t b);

/// The immediates are scale-a, scale-b and the transpositions (of A and B; of B where A is in
/// registers).
#define CQSA_PRODUCTS(element, type, n, list, registers, a0, a1, a2, a3, a4, a5)                   \
    template<>                                                                                     \
    __device__ inline void product_shared<element, n>(float* d, std::uint64_t a, std::uint64_t b,  \
                                                      bool accumulate) {                           \
        asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " a2 ", 0;\n"                               \
                     "wgmma.mma_async.sync.aligned.m64n" #n "k16.f32." type "." type " {" list     \
                     "}, " a0 ", " a1 ", p, 1, 1, 0, 0;\n}"                                        \
                     : CQSA_PACK registers                                                         \
                     : "l"(a), "l"(b), "r"(static_cast<int>(accumulate)));                         \
    }                                                                                              \
    template<>                                                                                     \
    __device__ inline void product_registers<element, n>(float* d, const std::uint32_t* a,         \
                                                         std::uint64_t b) {                        \
        asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " a5 ", 0;\n"                               \
                     "wgmma.mma_async.sync.aligned.m64n" #n "k16.f32." type "." type " {" list     \
                     "}, {" a0 ", " a1 ", " a2 ", " a3 "}, " a4 ", p, 1, 1, 1;\n}"                 \
                     : CQSA_PACK registers                                                         \
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(1));                \
    }
#define CQSA_PRODUCTS_OF_N(n, list, registers, a0, a1, a2, a3, a4, a5)                             \
    CQSA_PRODUCTS(__half, "f16", n, list, registers, a0, a1, a2, a3, a4, a5)                       \
    CQSA_PRODUCTS(__nv_bfloat16, "bf16", n, list, registers, a0, a1, a2, a3, a4, a5)
#define CQSA_PACK(...) __VA_ARGS__

CQSA_PRODUCTS_OF_N(32, CQSA_R_16, (CQSA_D16(0)), "%16", "%17", "%18", "%19", "%20", "%21")
CQSA_PRODUCTS_OF_N(64, CQSA_R_32, (CQSA_D32(0)), "%32", "%33", "%34", "%35", "%36", "%37")
CQSA_PRODUCTS_OF_N(80, CQSA_R_40, (CQSA_D32(0), CQSA_D8(32)), "%40", "%41", "%42", "%43", "%44",
                   "%45")
CQSA_PRODUCTS_OF_N(96, CQSA_R_48, (CQSA_D32(0), CQSA_D16(32)), "%48", "%49", "%50", "%51", "%52",
                   "%53")
CQSA_PRODUCTS_OF_N(112, CQSA_R_56, (CQSA_D32(0), CQSA_D16(32), CQSA_D8(48)), "%56", "%57", "%58",
                   "%59", "%60", "%61")
CQSA_PRODUCTS_OF_N(128, CQSA_R_64, (CQSA_D64(0)), "%64", "%65", "%66", "%67", "%68", "%69")
CQSA_PRODUCTS_OF_N(176, CQSA_R_88, (CQSA_D64(0), CQSA_D16(64), CQSA_D8(80)), "%88", "%89", "%90",
                   "%91", "%92", "%93")
CQSA_PRODUCTS_OF_N(192, CQSA_R_96, (CQSA_D64(0), CQSA_D32(64)), "%96", "%97", "%98", "%99", "%100",
                   "%101")

#undef CQSA_D8
#undef CQSA_D16
#undef CQSA_D32
#undef CQSA_D64
#undef CQSA_R0
#undef CQSA_R8
#undef CQSA_R16
#undef CQSA_R24
#undef CQSA_R32
#undef CQSA_R40
#undef CQSA_R48
#undef CQSA_R56
#undef CQSA_R64
#undef CQSA_R72
#undef CQSA_R80
#undef CQSA_R88
#undef CQSA_R_16
#undef CQSA_R_32
#undef CQSA_R_40
#undef CQSA_R_48
#undef CQSA_R_56
#undef CQSA_R_64
#undef CQSA_R_88
#undef CQSA_R_96
#undef CQSA_PRODUCTS
#undef CQSA_PRODUCTS_OF_N
#undef CQSA_PACK

} // namespace cqsa::cuda::ptx
