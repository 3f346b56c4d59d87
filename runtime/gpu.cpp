// SPDX-License-Identifier: Apache-2.0
#include "runtime/gpu.hpp"

#ifdef CQSA_WITH_CUDA
#include "codelets/attend/attend.hpp"

#include <cuda_runtime_api.h>
#else
#include <dlfcn.h>
#endif

namespace cqsa {

#ifdef CQSA_WITH_CUDA

int count_gpus() {
    int count = 0;
    return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

std::vector<gpu_facts> list_gpus() {
    const int count = count_gpus();
    if (count == 0) return {};
    int device_before = 0;
    cudaGetDevice(&device_before);
    std::vector<gpu_facts> gpus;
    for (int device = 0; device < count; ++device) {
        cudaDeviceProp properties;
        if (cudaGetDeviceProperties(&properties, device) != cudaSuccess) continue;
        gpu_facts gpu;
        gpu.name = properties.name;
        gpu.major = properties.major;
        gpu.minor = properties.minor;
        gpu.multiprocessors = properties.multiProcessorCount;
        int kilohertz = 0;
        cudaDeviceGetAttribute(&kilohertz, cudaDevAttrClockRate, device);
        gpu.clock_hertz = 1e3 * kilohertz;
        gpu.total_bytes = static_cast<std::int64_t>(properties.totalGlobalMem);
        std::size_t free_bytes = 0;
        std::size_t total_bytes = 0;
        if (cudaSetDevice(device) == cudaSuccess &&
            cudaMemGetInfo(&free_bytes, &total_bytes) == cudaSuccess) {
            gpu.free_bytes = static_cast<std::int64_t>(free_bytes);
        }
        // A size that every kernel family covers: what is left to fail is the device itself.
        attend_task task;
        task.type = data_type::bf16;
        task.head_dim = 64;
        gpu.unsupported = cuda::attend_unsupported(task, device);
        gpus.push_back(gpu);
    }
    cudaSetDevice(device_before);
    return gpus;
}

std::string cuda_version_text() {
    return std::to_string(CUDART_VERSION / 1000) + "." + std::to_string(CUDART_VERSION % 1000 / 10);
}

#else

// StarPU may have CUDA all the same.
int count_gpus() {
    const auto count_devices =
        reinterpret_cast<int (*)(int*)>(dlsym(RTLD_DEFAULT, "cudaGetDeviceCount"));
    int count = 0;
    return count_devices != nullptr && count_devices(&count) == 0 ? count : 0;
}

std::vector<gpu_facts> list_gpus() {
    return {};
}

std::string cuda_version_text() {
    return {};
}

#endif

} // namespace cqsa
