// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace cqsa {

/// A CUDA device as the driver describes it.
struct gpu_facts {
    std::string name;
    int major = 0; ///< compute capability
    int minor = 0;
    int multiprocessors = 0;
    double clock_hertz = 0; ///< highest clock of the multiprocessors
    std::int64_t total_bytes = 0;
    std::int64_t free_bytes = 0;
    std::string unsupported; ///< empty, or one sentence: why no kernel of this build runs on it
};

/// The CUDA devices this process sees; empty without a driver and in a build without CUDA. Reading
/// a device's free memory makes a CUDA context on it, which lasts as long as the process.
std::vector<gpu_facts> list_gpus();

/// How many CUDA devices StarPU sees here, even below a build without CUDA. Makes no context.
int count_gpus();

/// "13.0"; empty in a build without CUDA.
std::string cuda_version_text();

} // namespace cqsa
