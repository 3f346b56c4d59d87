# SPDX-License-Identifier: Apache-2.0
# Installs BUILD and moves the installed tree to PLACE, since a package must not know where it lies.
file(REMOVE_RECURSE ${PLACE} ${PLACE}.first)
execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD} --prefix ${PLACE}.first
                COMMAND_ERROR_IS_FATAL ANY)
file(RENAME ${PLACE}.first ${PLACE})
