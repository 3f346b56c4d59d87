# SPDX-License-Identifier: Apache-2.0
# FindStarPU: StarPU of the 1.4 series, through pkg-config (module starpu-1.4).
#
# Searched in this order: PKG_CONFIG_PATH, CMAKE_PREFIX_PATH, the system, then the prefixes that
# cmake/setup.sh builds, $CQSA_DEPS/starpu-<version>-<cuda|cpu> ($CQSA_DEPS: ~/.cache/cqsa).
# find_package(StarPU COMPONENTS CUDA) passes over a StarPU that was built without CUDA.
#
# Target:    StarPU::StarPU, with hwloc
# Variables: StarPU_FOUND, StarPU_VERSION, StarPU_PREFIX,
#            StarPU_TOOLS_DIR (starpu_fxt_tool, starpu_machine_display, …),
#            StarPU_HAS_CUDA, StarPU_HAS_FXT

find_package(PkgConfig QUIET)

# pkg-config directories of the set-up script's prefixes, the newest StarPU first.
function(_starpu_cached_paths result)
    if(DEFINED ENV{CQSA_DEPS})
        set(deps "$ENV{CQSA_DEPS}")
    elseif(DEFINED ENV{XDG_CACHE_HOME})
        set(deps "$ENV{XDG_CACHE_HOME}/cqsa")
    else()
        set(deps "$ENV{HOME}/.cache/cqsa")
    endif()
    file(GLOB paths LIST_DIRECTORIES true "${deps}/starpu-1.4.*-c*/lib/pkgconfig")
    list(SORT paths COMPARE NATURAL ORDER DESCENDING)
    set(${result} ${paths} PARENT_SCOPE)
endfunction()

# Looks with `path` ahead of PKG_CONFIG_PATH; `module` names the result, so that each place looked at
# has its own cache entries. Sets the StarPU_* variables when the StarPU found there suits.
macro(_starpu_try module path)
    set(_starpu_user_path "$ENV{PKG_CONFIG_PATH}")
    set(ENV{PKG_CONFIG_PATH} "${path}:${_starpu_user_path}")
    pkg_check_modules(${module} QUIET IMPORTED_TARGET starpu-1.4)
    set(ENV{PKG_CONFIG_PATH} "${_starpu_user_path}")
    if(${module}_FOUND)
        unset(StarPU_CONFIG_HEADER)
        find_file(StarPU_CONFIG_HEADER starpu_config.h HINTS ${${module}_INCLUDE_DIRS} NO_CACHE)
        file(STRINGS "${StarPU_CONFIG_HEADER}" _starpu_features
             REGEX "^#define STARPU_USE_(CUDA|FXT) 1")
        foreach(_starpu_feature CUDA FXT)
            set(StarPU_HAS_${_starpu_feature} FALSE)
            if("${_starpu_features}" MATCHES "STARPU_USE_${_starpu_feature}")
                set(StarPU_HAS_${_starpu_feature} TRUE)
            endif()
        endforeach()
        if(StarPU_HAS_CUDA OR NOT "CUDA" IN_LIST StarPU_FIND_COMPONENTS)
            set(StarPU_VERSION "${${module}_VERSION}")
            set(StarPU_PREFIX "${${module}_PREFIX}")
            set(StarPU_TOOLS_DIR "${StarPU_PREFIX}/bin")
            set(_starpu_target PkgConfig::${module})
        endif()
    endif()
endmacro()

unset(StarPU_PREFIX)
if(PkgConfig_FOUND)
    _starpu_try(StarPU_PC "")
    _starpu_cached_paths(_starpu_paths)
    foreach(_starpu_path IN LISTS _starpu_paths)
        if(NOT StarPU_PREFIX)
            string(MAKE_C_IDENTIFIER "StarPU_PC_${_starpu_path}" _starpu_module)
            _starpu_try(${_starpu_module} "${_starpu_path}")
        endif()
    endforeach()
endif()

if(StarPU_PREFIX AND NOT TARGET StarPU::StarPU)
    add_library(StarPU::StarPU INTERFACE IMPORTED)
    target_link_libraries(StarPU::StarPU INTERFACE ${_starpu_target})
endif()
set(StarPU_CUDA_FOUND ${StarPU_HAS_CUDA})
set(StarPU_FXT_FOUND ${StarPU_HAS_FXT})

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
    StarPU
    REQUIRED_VARS StarPU_PREFIX
    VERSION_VAR StarPU_VERSION
    HANDLE_COMPONENTS
    REASON_FAILURE_MESSAGE
        "run 'cmake/setup.sh install', which builds StarPU 1.4 once into ~/.cache/cqsa, or name an installed one with -DCMAKE_PREFIX_PATH=<prefix>")
