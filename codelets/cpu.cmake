# SPDX-License-Identifier: Apache-2.0
# The reference and OpenMP implementations of the codelets. Kernels are built once per instruction
# set, each in its own file with its own flags, and chosen at run time.
target_link_libraries(cqsa_codelets PUBLIC OpenMP::OpenMP_CXX)
target_sources(cqsa_codelets PRIVATE
    attend/cpu/portable.cpp
    attend/openmp.cpp
    attend/reference.cpp
    cpu/isa.cpp
    finalize/narrow.cpp
    finalize/openmp.cpp
    finalize/reference.cpp
    merge/openmp.cpp
    merge/reference.cpp)

# Fused multiply-adds are where the kernels ask for them and nowhere else: otherwise a factor that is
# exactly 1 would depend on what the compiler fused.
set_source_files_properties(attend/cpu/portable.cpp PROPERTIES COMPILE_OPTIONS -ffp-contract=off)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    set(avx2 -ffp-contract=off -mavx2 -mfma -mf16c)
    # GCC 12 takes the deliberately undefined operands of its own AVX-512 header for a mistake.
    set(avx512 ${avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl -Wno-uninitialized -Wno-maybe-uninitialized)
    set_source_files_properties(attend/cpu/avx2.cpp finalize/narrow_avx2.cpp
        PROPERTIES COMPILE_OPTIONS "${avx2}")
    set_source_files_properties(attend/cpu/avx512.cpp PROPERTIES COMPILE_OPTIONS "${avx512}")
    set(avx512bf16 ${avx512} -mavx512bf16)
    set_source_files_properties(attend/cpu/amx.cpp attend/cpu/avx512bf16.cpp
        PROPERTIES COMPILE_OPTIONS "${avx512bf16}")
    set(CQSA_AVX512BF16_OPTIONS "${avx512bf16}" PARENT_SCOPE) # for the tests of the tile kernel
    target_sources(cqsa_codelets PRIVATE
        attend/cpu/amx.cpp attend/cpu/avx2.cpp attend/cpu/avx512.cpp attend/cpu/avx512bf16.cpp
        finalize/narrow_avx2.cpp)
    target_compile_definitions(cqsa_codelets PRIVATE CQSA_X86_KERNELS)
endif()
