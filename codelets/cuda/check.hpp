// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/error.hpp"

#include <cuda_runtime_api.h>

#include <string>

namespace cqsa::cuda {

/// Throws Error(device) with the runtime's words when a call of the CUDA runtime failed.
inline void check(cudaError_t status, const char* what) {
    if (status != cudaSuccess)
        throw Error(error_code::device,
                    std::string(what) + " failed on the GPU: " + cudaGetErrorString(status) + ".");
}

} // namespace cqsa::cuda
