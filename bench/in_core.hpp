// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/host_arrays.hpp"

#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

namespace cqsa::bench {

/// "NVIDIA H100 80GB HBM3"; empty without a GPU, and in a build without CUDA.
std::string gpu_name();

/// Bytes free on the first GPU, as the driver says; nothing where there is no GPU.
std::optional<std::int64_t> gpu_free_bytes();

/// What an attention costs where everything fits the first GPU, in seconds.
struct in_core_times {
    double kernel = 0;    ///< attend in one launch, and finalize; median, by events
    double transfers = 0; ///< Q, K, V to the GPU and O, LSE back, in page-locked memory
    std::int64_t device_bytes = 0;
};

/// Measures it with the CUDA codelets, `rounds` times after one that is not counted (0: once, which
/// counts). Throws Error where it does not fit, no kernel takes the type, or there is no GPU.
in_core_times measure_in_core(const attend_case& x, const HostArrays& host, int rounds);

/// Runs a small attention, so that the driver has loaded the kernels of this case.
void load_kernels(attend_case x);

/// A case's arrays in page-locked memory for as long as it lives, as an application keeps them that
/// calls more than once. Nothing happens without a GPU.
class PinnedArrays {
  public:
    explicit PinnedArrays(const HostArrays& host);
    ~PinnedArrays();
    PinnedArrays(const PinnedArrays&) = delete;
    PinnedArrays& operator=(const PinnedArrays&) = delete;

  private:
    std::vector<void*> pinned_;
};

/// Watches the first GPU's free memory from a thread of its own, as another process would see it.
class FreeMemoryWatch {
  public:
    FreeMemoryWatch();
    /// The least that was free since construction; nothing without a GPU. Ends the watch.
    std::optional<std::int64_t> least();

  private:
    std::optional<std::int64_t> least_;
    std::jthread thread_; ///< last, so that it ends before what it uses
};

} // namespace cqsa::bench
