// SPDX-License-Identifier: Apache-2.0
#include "codelets/attend/hopper/instantiate.cuh"

namespace cqsa::cuda::hopper {

const kernel& kernel_d256() {
    static const kernel k = compiled<tile_shape<256, 2, 80, 2>>();
    return k;
}

} // namespace cqsa::cuda::hopper
