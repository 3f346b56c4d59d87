# SPDX-License-Identifier: Apache-2.0
# The reference and OpenMP implementations of the codelets. Kernels are built once per instruction
# set, each in its own file with its own flags, and chosen at run time.
find_package(OpenMP REQUIRED COMPONENTS CXX)
target_link_libraries(cqsa_codelets PUBLIC OpenMP::OpenMP_CXX)
target_sources(cqsa_codelets PRIVATE
    attend/cpu/portable.cpp
    attend/openmp.cpp
    attend/reference.cpp
    cpu/isa.cpp
    finalize/openmp.cpp
    finalize/reference.cpp
    merge/openmp.cpp
    merge/reference.cpp)

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    set(avx2 -mavx2 -mfma -mf16c)
    # GCC 12 takes the deliberately undefined operands of its own AVX-512 header for a mistake.
    set(avx512 ${avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl -Wno-maybe-uninitialized)
    set_source_files_properties(attend/cpu/avx2.cpp PROPERTIES COMPILE_OPTIONS "${avx2}")
    set_source_files_properties(attend/cpu/avx512.cpp PROPERTIES COMPILE_OPTIONS "${avx512}")
    set_source_files_properties(attend/cpu/avx512bf16.cpp
        PROPERTIES COMPILE_OPTIONS "${avx512};-mavx512bf16")
    target_sources(cqsa_codelets PRIVATE
        attend/cpu/avx2.cpp attend/cpu/avx512.cpp attend/cpu/avx512bf16.cpp)
    target_compile_definitions(cqsa_codelets PRIVATE CQSA_X86_KERNELS)
endif()
