// SPDX-License-Identifier: Apache-2.0
#include "codelets/attend/hopper/instantiate.cuh"

namespace cqsa::cuda::hopper {

const kernel& kernel_d128() {
    static const kernel k = compiled<tile_shape<128, 3, 80, 4>>();
    return k;
}

} // namespace cqsa::cuda::hopper
