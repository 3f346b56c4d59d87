# SPDX-License-Identifier: Apache-2.0
# The reference and OpenMP implementations of the codelets.
target_sources(cqsa_codelets PRIVATE
    attend/reference.cpp
    finalize/reference.cpp
    merge/reference.cpp)
