# SPDX-License-Identifier: Apache-2.0
# Fails unless every file of FOLDER includes only the planner's own headers and the C++ standard
# library, whose headers have neither a folder nor a suffix.
file(GLOB sources "${FOLDER}/*.hpp" "${FOLDER}/*.cpp")
if(NOT sources)
    message(FATAL_ERROR "no sources in ${FOLDER}")
endif()
foreach(source IN LISTS sources)
    file(STRINGS "${source}" includes REGEX "^[ \t]*#[ \t]*include")
    foreach(include IN LISTS includes)
        if(NOT include MATCHES "^#include (\"planner/[a-z_]+\\.hpp\"|<[a-z_]+>)$")
            message(SEND_ERROR "${source}: ${include}")
        endif()
    endforeach()
endforeach()
