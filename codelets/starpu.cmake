# SPDX-License-Identifier: Apache-2.0
# The operations as StarPU codelets: the only part of this folder that knows StarPU.
add_library(cqsa_starpu_codelets STATIC
    block_data.cpp
    block_pool.cpp
    host_pieces.cpp
    run.cpp
    attend/codelet.cpp
    finalize/codelet.cpp
    merge/codelet.cpp)
cqsa_target(cqsa_starpu_codelets)
target_link_libraries(cqsa_starpu_codelets PUBLIC cqsa_codelets StarPU::StarPU)
if(CQSA_WITH_CUDA AND StarPU_HAS_CUDA)
    target_compile_definitions(cqsa_starpu_codelets PRIVATE CQSA_WITH_CUDA)
    target_link_libraries(cqsa_starpu_codelets PRIVATE CUDA::cudart)
endif()
