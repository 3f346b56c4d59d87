# SPDX-License-Identifier: Apache-2.0
# Options of the build, the compilers it needs, and what every target of ours is built with.

option(CQSA_BUILD_TESTS "Build the tests" ${PROJECT_IS_TOP_LEVEL})
option(CQSA_BUILD_BENCH "Build the bench program" ${PROJECT_IS_TOP_LEVEL})
include(CMakeDependentOption)
cmake_dependent_option(CQSA_BUILD_TOOL "Build the tool; tests and bench need it" ${PROJECT_IS_TOP_LEVEL}
                       "NOT CQSA_BUILD_TESTS;NOT CQSA_BUILD_BENCH" ON)
option(CQSA_INSTALL "Make the install targets" ${PROJECT_IS_TOP_LEVEL})
set(CQSA_CUDA AUTO CACHE STRING "Build the CUDA codelets: ON, OFF, or AUTO (where nvcc is found)")
set_property(CACHE CQSA_CUDA PROPERTY STRINGS AUTO ON OFF)
set(CQSA_SANITIZE "" CACHE STRING "Sanitizers of every target: address,undefined or thread")

set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

set(CQSA_WITH_CUDA OFF)
if(NOT CQSA_CUDA STREQUAL "OFF")
    if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
        find_program(CQSA_NVCC nvcc PATHS /usr/local/cuda/bin DOC "The CUDA compiler")
        if(CQSA_NVCC)
            set(CMAKE_CUDA_COMPILER "${CQSA_NVCC}")
        endif()
    endif()
    include(CheckLanguage)
    check_language(CUDA)
    if(CMAKE_CUDA_COMPILER)
        set(CMAKE_CUDA_ARCHITECTURES 90a-real 80 CACHE STRING "GPU architectures")
        # StarPU's runtime library, so that one process has one of them.
        set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)
        enable_language(CUDA)
        find_package(CUDAToolkit REQUIRED)
        set(CQSA_WITH_CUDA ON)
    elseif(CQSA_CUDA STREQUAL "ON")
        message(FATAL_ERROR "CQSA_CUDA=ON but no nvcc was found: install the CUDA Toolkit (13.0 or "
                            "later) and put nvcc on PATH, or configure with -DCQSA_CUDA=OFF.")
    endif()
endif()

if(CQSA_SANITIZE)
    add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${CQSA_SANITIZE}>
                        $<$<COMPILE_LANGUAGE:CXX>:-fno-sanitize-recover=all>
                        $<$<COMPILE_LANGUAGE:CXX>:-fno-omit-frame-pointer>)
    add_link_options(-fsanitize=${CQSA_SANITIZE})
    add_library(cqsa_sanitizer_defaults OBJECT cmake/sanitizer_defaults.cpp)
endif()

# cqsa_target(TARGET): what every target of ours has in common. But for debug builds, in which one
# file changes at a time, several files are compiled as one, which takes half the time: a name is
# then that of one thing in all files of a target.
function(cqsa_target target)
    if(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
        set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 6)
    endif()
    target_compile_features(${target} PUBLIC cxx_std_20)
    set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF CUDA_STANDARD 20)
    target_compile_options(${target} PRIVATE
        $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion>)
    get_target_property(type ${target} TYPE)
    if(CQSA_SANITIZE AND type STREQUAL "EXECUTABLE")
        target_link_libraries(${target} PRIVATE cqsa_sanitizer_defaults)
    endif()
endfunction()
