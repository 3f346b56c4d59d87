// SPDX-License-Identifier: Apache-2.0
#include "codelets/attend/hopper/instantiate.cuh"

namespace cqsa::cuda::hopper {

const kernel& kernel_d32() {
    static const kernel k = compiled<tile_shape<32, 3, 128, 4>>();
    return k;
}

} // namespace cqsa::cuda::hopper
