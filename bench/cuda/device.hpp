// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/timing.hpp"
#include "codelets/cuda/check.hpp"
#include "planner/problem.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cuda_runtime_api.h>
#include <functional>
#include <thread>
#include <vector>

namespace cqsa::bench {

/// Normal numbers in device memory.
void fill_normal(data_type type, void* data, std::int64_t count, std::uint64_t seed);

class DeviceArray {
  public:
    explicit DeviceArray(std::int64_t bytes) : bytes_(static_cast<std::size_t>(bytes)) {
        cuda::check(cudaMalloc(&data_, std::max<std::size_t>(bytes_, 1)),
                    "allocating device memory");
    }
    DeviceArray(const DeviceArray&) = delete;
    DeviceArray& operator=(const DeviceArray&) = delete;
    ~DeviceArray() { cudaFree(data_); }
    [[nodiscard]] std::byte* data() const { return static_cast<std::byte*>(data_); }
    void clear() const {
        cuda::check(cudaMemset(data_, 0, bytes_), "clearing device memory");
        cuda::check(cudaDeviceSynchronize(), "clearing device memory");
    }

  private:
    std::size_t bytes_;
    void* data_ = nullptr;
};

/// Seconds of what `call` submits to `stream`, by events.
inline double seconds_on_gpu(cudaStream_t stream, const std::function<void()>& call) {
    cudaEvent_t start = nullptr;
    cudaEvent_t stop = nullptr;
    cuda::check(cudaEventCreate(&start), "creating an event");
    cuda::check(cudaEventCreate(&stop), "creating an event");
    cuda::check(cudaEventRecord(start, stream), "recording an event");
    call();
    cuda::check(cudaEventRecord(stop, stream), "recording an event");
    cuda::check(cudaEventSynchronize(stop), "waiting for an event");
    float milliseconds = 0;
    cuda::check(cudaEventElapsedTime(&milliseconds, start, stop), "reading an event");
    cuda::check(cudaEventDestroy(start), "destroying an event");
    cuda::check(cudaEventDestroy(stop), "destroying an event");
    return 1e-3 * static_cast<double>(milliseconds);
}

/// The median of repetitions, after a pause (the GPU's clock follows its temperature and power) and
/// two warm-ups.
inline double seconds(cudaStream_t stream, int repetitions, const std::function<void()>& call) {
    cuda::check(cudaDeviceSynchronize(), "waiting for the device");
    std::this_thread::sleep_for(std::chrono::milliseconds(250));
    std::vector<double> times;
    for (int i = -2; i < repetitions; ++i) {
        const double time = seconds_on_gpu(stream, call);
        if (i >= 0) times.push_back(time);
    }
    return median(times);
}

} // namespace cqsa::bench
