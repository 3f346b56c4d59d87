# SPDX-License-Identifier: Apache-2.0
# What is installed: the library and the tool (component Runtime), headers and package files
# (Development). A shared libcqsa exports its public calls alone and needs nothing of its users; a
# static one comes with its parts and has its users find StarPU.
include(CMakePackageConfigHelpers)

set(cqsa_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/cqsa)
get_target_property(cqsa_library_type cqsa_library TYPE)

# The same include lines work in the source tree and below include/cqsa.
file(GLOB planner_headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/planner/*.hpp)
target_sources(cqsa_planner PUBLIC
    FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR} FILES ${planner_headers})
target_sources(cqsa_library PUBLIC
    FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}
    FILES
        ${PROJECT_SOURCE_DIR}/runtime/attend.hpp
        ${PROJECT_SOURCE_DIR}/runtime/calibrate.hpp
        ${PROJECT_SOURCE_DIR}/runtime/doctor.hpp
        ${PROJECT_SOURCE_DIR}/runtime/host_memory.hpp
        ${PROJECT_SOURCE_DIR}/runtime/session.hpp)

set_target_properties(cqsa_planner PROPERTIES EXPORT_NAME planner)
set_target_properties(cqsa_planner cqsa_library PROPERTIES VERIFY_INTERFACE_HEADER_SETS ON)
# Before 1.0 a minor version may break the ABI.
set_target_properties(cqsa_library PROPERTIES
    VERSION ${PROJECT_VERSION}
    SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
set(cqsa_installed cqsa_planner cqsa_library)
if(cqsa_library_type STREQUAL "SHARED_LIBRARY")
    set(exports ${CMAKE_CURRENT_LIST_DIR}/cqsa.map)
    target_link_options(cqsa_library PRIVATE -Wl,--version-script=${exports} -Wl,--no-undefined)
    set_target_properties(cqsa_library PROPERTIES LINK_DEPENDS ${exports})
else()
    list(APPEND cqsa_installed cqsa_codelets cqsa_starpu_codelets)
endif()
set(cqsa_programs)
if(TARGET cqsa_tool)
    set(cqsa_programs cqsa_tool)
endif()
set_target_properties(cqsa_library ${cqsa_programs} PROPERTIES
    INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}"
    INSTALL_RPATH_USE_LINK_PATH ON)

install(TARGETS ${cqsa_installed} EXPORT cqsa
    RUNTIME COMPONENT Runtime
    LIBRARY COMPONENT Runtime NAMELINK_COMPONENT Development
    ARCHIVE COMPONENT Development
    FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/cqsa COMPONENT Development)
if(cqsa_programs)
    install(TARGETS ${cqsa_programs} RUNTIME COMPONENT Runtime)
endif()
install(EXPORT cqsa NAMESPACE cqsa:: FILE cqsaTargets.cmake
    DESTINATION ${cqsa_package_dir} COMPONENT Development)

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/cqsaConfig.cmake.in
    ${PROJECT_BINARY_DIR}/cqsaConfig.cmake INSTALL_DESTINATION ${cqsa_package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/cqsaConfigVersion.cmake
    COMPATIBILITY SameMinorVersion)
install(FILES
    ${PROJECT_BINARY_DIR}/cqsaConfig.cmake
    ${PROJECT_BINARY_DIR}/cqsaConfigVersion.cmake
    ${CMAKE_CURRENT_LIST_DIR}/FindStarPU.cmake
    DESTINATION ${cqsa_package_dir} COMPONENT Development)

# pkg-config has no notion of a static library that is the only one: its needs are then everyone's.
set(pc_libs "-lcqsa")
set(pc_requires)
if(NOT cqsa_library_type STREQUAL "SHARED_LIBRARY")
    string(APPEND pc_libs " -lcqsa_starpu_codelets -lcqsa_codelets -lcqsa_planner"
                          " ${OpenMP_CXX_FLAGS} -lstdc++ -lm")
    set(pc_requires "starpu-1.4")
    if(CQSA_WITH_CUDA)
        string(APPEND pc_libs " -L${CUDAToolkit_LIBRARY_DIR} -lcudart")
    endif()
endif()
cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX
    BASE_DIRECTORY ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig OUTPUT_VARIABLE pc_up)
configure_file(${CMAKE_CURRENT_LIST_DIR}/cqsa.pc.in ${PROJECT_BINARY_DIR}/cqsa.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/cqsa.pc
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT Development)
