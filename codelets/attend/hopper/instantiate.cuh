// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/attend/hopper/hopper.hpp"
#include "codelets/attend/hopper/kernel.cuh"

namespace cqsa::cuda::hopper {

/// Compiles a tile shape for both 16-bit types and describes it to the host.
template<class Shape>
kernel compiled() {
    return {.head_dim = Shape::head_dim,
            .tile_rows = Shape::rows,
            .tile_keys = Shape::key_tile,
            .threads = Shape::threads,
            .shared_bytes = sizeof(shared_memory<Shape>),
            .partial_bytes = Shape::groups * 128 * Shape::partial_quads * 16,
            .overlaps = !Shape::state_first,
            .most_cluster = Shape::most_cluster,
            .f16 = reinterpret_cast<const void*>(&attend_kernel<Shape, __half>),
            .bf16 = reinterpret_cast<const void*>(&attend_kernel<Shape, __nv_bfloat16>)};
}

} // namespace cqsa::cuda::hopper
