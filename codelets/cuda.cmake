# SPDX-License-Identifier: Apache-2.0
# The CUDA implementations of the codelets. The Hopper kernels are built for sm_90a alone, and their
# build fails when ptxas serialises matrix products, spills, or puts anything in local memory.
target_link_libraries(cqsa_codelets PRIVATE CUDA::cudart)
target_sources(cqsa_codelets PRIVATE
    attend/cuda.cpp
    attend/hopper/launch.cpp
    staged_copies.cpp)
# A simulated GPU (tests/simulated_gpu) has its own.
set_source_files_properties(attend/cuda.cpp attend/hopper/launch.cpp
    PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)

# cqsa_cuda_objects(TARGET PARENT ARCHITECTURES SOURCES...): kernels for these architectures, as part
# of the target PARENT.
function(cqsa_cuda_objects target parent architectures)
    add_library(${target} OBJECT ${ARGN})
    cqsa_target(${target})
    target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}")
    target_link_libraries(${target} PRIVATE CUDA::cudart)
    set_target_properties(${target} PROPERTIES CUDA_ARCHITECTURES "${architectures}")
    # CMake 3.25 does not know the standards of nvcc 13.
    target_compile_options(${target} PRIVATE -std=c++20 -lineinfo)
    target_sources(${parent} PRIVATE $<TARGET_OBJECTS:${target}>)
endfunction()

cqsa_cuda_objects(cqsa_cuda_any cqsa_codelets "80;90-real"
    attend/mma/attend.cu
    finalize/cuda.cu
    merge/cuda.cu)
cqsa_cuda_objects(cqsa_cuda_hopper cqsa_codelets "90a-real"
    attend/hopper/d32.cu
    attend/hopper/d64.cu
    attend/hopper/d96.cu
    attend/hopper/d128.cu
    attend/hopper/d192.cu
    attend/hopper/d256.cu)
target_compile_options(cqsa_cuda_hopper PRIVATE -Xptxas -v)
set_target_properties(cqsa_cuda_hopper PROPERTIES
    CUDA_COMPILER_LAUNCHER "${CMAKE_CURRENT_SOURCE_DIR}/cuda/check_ptxas.sh")
