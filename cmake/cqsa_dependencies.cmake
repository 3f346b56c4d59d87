# SPDX-License-Identifier: Apache-2.0
# What the build needs beside a compiler; a missing one is said in one sentence.

# cqsa_need(PACKAGE DEBIAN_PACKAGE [find_package arguments…])
macro(cqsa_need package debian_package)
    find_package(${package} QUIET ${ARGN})
    if(NOT ${package}_FOUND)
        message(FATAL_ERROR "${package} was not found: run 'cmake/setup.sh install', or install "
                            "${debian_package} (Debian's name) yourself.")
    endif()
endmacro()

cqsa_need(Threads libc6-dev)
cqsa_need(OpenMP g++ COMPONENTS CXX)
cqsa_need(PkgConfig pkg-config)
cqsa_need(nlohmann_json nlohmann-json3-dev)
if(CQSA_BUILD_TOOL)
    cqsa_need(CLI11 libcli11-dev)
    cqsa_need(fmt libfmt-dev)
endif()
if(CQSA_BUILD_TESTS)
    cqsa_need(GTest libgtest-dev)
endif()

find_package(StarPU 1.4 QUIET)
if(NOT StarPU_FOUND)
    message(FATAL_ERROR "StarPU 1.4 was not found: run 'cmake/setup.sh install', which builds it once "
                        "into ~/.cache/cqsa, or name yours with -DCMAKE_PREFIX_PATH=<prefix>.")
endif()
if(CQSA_WITH_CUDA AND NOT StarPU_HAS_CUDA)
    message(FATAL_ERROR "StarPU ${StarPU_VERSION} in ${StarPU_PREFIX} was built without CUDA: name one "
                        "that has it with -DCMAKE_PREFIX_PATH=<prefix>, or configure with -DCQSA_CUDA=OFF.")
endif()
message(STATUS "StarPU ${StarPU_VERSION} in ${StarPU_PREFIX} (CUDA: ${StarPU_HAS_CUDA}, FxT: ${StarPU_HAS_FXT})")
