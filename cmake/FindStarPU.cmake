# SPDX-License-Identifier: Apache-2.0
# FindStarPU: StarPU of the 1.4 series, through pkg-config (module starpu-1.4).
#
# Searched in this order: PKG_CONFIG_PATH, CMAKE_PREFIX_PATH, the system, then the prefixes that
# cmake/setup.sh builds, $CQSA_DEPS/starpu-<version>-<cuda|cpu> ($CQSA_DEPS: ~/.cache/cqsa).
#
# Target:    StarPU::StarPU, with hwloc
# Variables: StarPU_FOUND, StarPU_VERSION, StarPU_PREFIX,
#            StarPU_TOOLS_DIR (starpu_fxt_tool, starpu_machine_display, …),
#            StarPU_HAS_CUDA, StarPU_HAS_FXT

find_package(PkgConfig QUIET)

# Prefixes made by the set-up script, the newest first and the wanted variant before the other.
function(_starpu_cached_prefixes result)
    if(DEFINED ENV{CQSA_DEPS})
        set(deps "$ENV{CQSA_DEPS}")
    elseif(DEFINED ENV{XDG_CACHE_HOME})
        set(deps "$ENV{XDG_CACHE_HOME}/cqsa")
    else()
        set(deps "$ENV{HOME}/.cache/cqsa")
    endif()
    set(prefixes)
    set(variants cpu cuda)
    if(CQSA_WITH_CUDA)
        set(variants cuda)
    endif()
    foreach(variant IN LISTS variants)
        file(GLOB found LIST_DIRECTORIES true "${deps}/starpu-1.4.*-${variant}")
        list(SORT found COMPARE NATURAL ORDER DESCENDING)
        list(APPEND prefixes ${found})
    endforeach()
    set(${result} ${prefixes} PARENT_SCOPE)
endfunction()

if(PkgConfig_FOUND)
    _starpu_cached_prefixes(_starpu_prefixes)
    set(_starpu_wanted "starpu-1.4")
    if(StarPU_FIND_VERSION)
        string(APPEND _starpu_wanted ">=${StarPU_FIND_VERSION}")
    endif()
    pkg_check_modules(PC_StarPU QUIET IMPORTED_TARGET "${_starpu_wanted}")
    set(_starpu_user_path "$ENV{PKG_CONFIG_PATH}")
    foreach(_starpu_prefix IN LISTS _starpu_prefixes)
        if(NOT PC_StarPU_FOUND)
            set(ENV{PKG_CONFIG_PATH} "${_starpu_prefix}/lib/pkgconfig:${_starpu_user_path}")
            pkg_check_modules(PC_StarPU QUIET IMPORTED_TARGET "${_starpu_wanted}")
        endif()
    endforeach()
    set(ENV{PKG_CONFIG_PATH} "${_starpu_user_path}")
endif()

if(PC_StarPU_FOUND)
    set(StarPU_VERSION "${PC_StarPU_VERSION}")
    set(StarPU_PREFIX "${PC_StarPU_PREFIX}")
    set(StarPU_TOOLS_DIR "${StarPU_PREFIX}/bin")
    find_file(StarPU_CONFIG_HEADER starpu_config.h HINTS ${PC_StarPU_INCLUDE_DIRS} NO_CACHE)
    file(STRINGS "${StarPU_CONFIG_HEADER}" _starpu_features
         REGEX "^#define STARPU_USE_(CUDA|FXT) 1")
    set(StarPU_HAS_CUDA FALSE)
    set(StarPU_HAS_FXT FALSE)
    if(_starpu_features MATCHES "STARPU_USE_CUDA")
        set(StarPU_HAS_CUDA TRUE)
    endif()
    if(_starpu_features MATCHES "STARPU_USE_FXT")
        set(StarPU_HAS_FXT TRUE)
    endif()
    if(NOT TARGET StarPU::StarPU)
        add_library(StarPU::StarPU INTERFACE IMPORTED)
        target_link_libraries(StarPU::StarPU INTERFACE PkgConfig::PC_StarPU)
    endif()
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
    StarPU
    REQUIRED_VARS StarPU_PREFIX StarPU_CONFIG_HEADER
    VERSION_VAR StarPU_VERSION
    REASON_FAILURE_MESSAGE
        "StarPU 1.4 was not found: run 'cmake/setup.sh install', which builds it once into ~/.cache/cqsa, or name an installed one with -DCMAKE_PREFIX_PATH=<prefix>.")
