// SPDX-License-Identifier: Apache-2.0
#include "runtime/pinned_memory.hpp"

#ifdef CQSA_WITH_CUDA
#include <cuda_runtime_api.h>

#include <algorithm>
#include <thread>
#endif

namespace cqsa {

#ifdef CQSA_WITH_CUDA

PinnedMemory::PinnedMemory(const std::vector<range>& ranges) : pinned_(ranges.size()) {
    // One thread each: the system locks the pages of different ranges at the same time.
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < ranges.size(); ++i) {
        threads.emplace_back([&range = ranges[i], &pinned = pinned_[i]] {
            auto* begin = const_cast<void*>(range.begin);
            if (range.bytes > 0 &&
                cudaHostRegister(begin, range.bytes, cudaHostRegisterPortable) == cudaSuccess) {
                pinned = begin;
            } else {
                cudaGetLastError(); // not an error of the run: clear it
            }
        });
    }
}

PinnedMemory::~PinnedMemory() {
    for (void* begin : pinned_) {
        if (begin != nullptr) cudaHostUnregister(begin);
    }
}

#else

PinnedMemory::PinnedMemory(const std::vector<range>& /*ranges*/) {}
PinnedMemory::~PinnedMemory() = default;

#endif

} // namespace cqsa
