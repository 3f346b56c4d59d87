// SPDX-License-Identifier: Apache-2.0
#include "runtime/pinned_memory.hpp"

#include <algorithm>
#include <utility>

#ifdef CQSA_WITH_CUDA
#include <cuda_runtime_api.h>
#endif

namespace cqsa {
namespace {

#ifdef CQSA_WITH_CUDA
bool lock_pages(void* begin, std::size_t bytes) {
    if (bytes == 0) return false;
    const bool locked = cudaHostRegister(begin, bytes, cudaHostRegisterPortable) == cudaSuccess;
    if (!locked) cudaGetLastError(); // not an error of the run: clear it
    return locked;
}
void unlock_pages(void* begin) {
    cudaHostUnregister(begin);
}
#else
bool lock_pages(void* /*begin*/, std::size_t /*bytes*/) {
    return false;
}
void unlock_pages(void* /*begin*/) {}
#endif

} // namespace

PinnedMemory::PinnedMemory(std::vector<range> ranges)
    : ranges_(std::move(ranges)), thread_([this](std::stop_token stop) { pin(stop); }) {}

PinnedMemory::~PinnedMemory() {
    thread_.request_stop();
    thread_.join();
    for (void* begin : pinned_)
        unlock_pages(begin);
}

void PinnedMemory::pin(std::stop_token stop) {
    for (const range& next : ranges_) {
        if (stop.stop_requested()) return;
        auto* begin = const_cast<void*>(next.begin);
        if (lock_pages(begin, next.bytes)) pinned_.push_back(begin);
        const std::lock_guard lock(mutex_);
        ++done_;
        changed_.notify_all();
    }
}

void PinnedMemory::wait_for(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return done_ >= std::min(count, ranges_.size()); });
}

} // namespace cqsa
