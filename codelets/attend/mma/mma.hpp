// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/attend/attend.hpp"

#include <cuda_runtime_api.h>

/// The kernel for every GPU from compute capability 8.0 on, every head_dim up to 256 and every
/// stride: f32 on Hopper, and all types on GPUs that have no kernel of their own.
namespace cqsa::cuda::mma {

constexpr std::int64_t max_head_dim = 256;

void attend(const attend_task& task, cudaStream_t stream);

} // namespace cqsa::cuda::mma
