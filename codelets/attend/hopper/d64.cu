// SPDX-License-Identifier: Apache-2.0
#include "codelets/attend/hopper/instantiate.cuh"

namespace cqsa::cuda::hopper {

const kernel& kernel_d64() {
    static const kernel k = compiled<tile_shape<64, 3, 128, 4>>();
    return k;
}

} // namespace cqsa::cuda::hopper
