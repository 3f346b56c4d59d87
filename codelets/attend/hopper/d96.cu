// SPDX-License-Identifier: Apache-2.0
#include "codelets/attend/hopper/instantiate.cuh"

namespace cqsa::cuda::hopper {

const kernel& kernel_d96() {
    static const kernel k = compiled<tile_shape<96, 3, 112, 2>>();
    return k;
}

} // namespace cqsa::cuda::hopper
