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
#include <span>
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
    [[nodiscard]] std::span<std::byte> span() const { return {data(), bytes_}; }
    void clear() const {
        cuda::check(cudaMemset(data_, 0, bytes_), "clearing device memory");
        cuda::check(cudaDeviceSynchronize(), "clearing device memory");
    }

  private:
    std::size_t bytes_;
    void* data_ = nullptr;
};

/// A stream, as the graph has, and the time between two points of it.
class Stream {
  public:
    Stream() {
        cuda::check(cudaStreamCreate(&stream_), "creating a stream");
        cuda::check(cudaEventCreate(&start_), "creating an event");
        cuda::check(cudaEventCreate(&stop_), "creating an event");
    }
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;
    ~Stream() {
        cudaEventDestroy(stop_);
        cudaEventDestroy(start_);
        cudaStreamDestroy(stream_);
    }

    double seconds(const std::function<void(cudaStream_t)>& enqueue) {
        cuda::check(cudaEventRecord(start_, stream_), "recording an event");
        enqueue(stream_);
        cuda::check(cudaEventRecord(stop_, stream_), "recording an event");
        cuda::check(cudaEventSynchronize(stop_), "waiting for an event");
        float milliseconds = 0;
        cuda::check(cudaEventElapsedTime(&milliseconds, start_, stop_), "reading an event");
        return 1e-3 * static_cast<double>(milliseconds);
    }

  private:
    cudaStream_t stream_ = nullptr;
    cudaEvent_t start_ = nullptr;
    cudaEvent_t stop_ = nullptr;
};

/// The median of repetitions, after a pause (the GPU's clock follows its temperature and power) and
/// two warm-ups.
inline double median_gpu_seconds(int repetitions,
                                 const std::function<void(cudaStream_t)>& enqueue) {
    cuda::check(cudaDeviceSynchronize(), "waiting for the device");
    std::this_thread::sleep_for(std::chrono::milliseconds(250));
    Stream stream;
    std::vector<double> times;
    for (int i = -2; i < repetitions; ++i) {
        const double time = stream.seconds(enqueue);
        if (i >= 0) times.push_back(time);
    }
    return median(times);
}

} // namespace cqsa::bench
