// SPDX-License-Identifier: Apache-2.0
#include "codelets/attend/hopper/instantiate.cuh"

namespace cqsa::cuda::hopper {

const kernel& kernel_d192() {
    static const kernel k = compiled<tile_shape<192, 2, 112, 2>>();
    return k;
}

} // namespace cqsa::cuda::hopper
