// SPDX-License-Identifier: Apache-2.0
#include "codelets/block_pool.hpp"

#include "codelets/block_data.hpp"

#include <starpu.h>

#include <array>
#include <map>
#include <mutex>

#ifdef CQSA_WITH_CUDA
#include <cuda_runtime_api.h>
#endif

namespace cqsa {
namespace {

struct reservation {
    std::mutex mutex;
    void* memory = nullptr;
    std::int64_t bytes = 0;
    std::vector<device_buffers> buffers;
    std::map<std::int64_t, std::vector<std::uintptr_t>> free; ///< by size
    std::int64_t taken_bytes = 0;
};

reservation& reservation_of(unsigned node) {
    static std::array<reservation, STARPU_MAXNODES> all;
    return all[node];
}

constexpr std::int64_t page_bytes = std::int64_t{2} << 20; // what cudaMalloc hands out

#ifdef CQSA_WITH_CUDA
// The node's device is the thread's current one for as long as it lives, if `is_set`.
class CurrentDevice {
  public:
    explicit CurrentDevice(unsigned node) {
        cudaGetDevice(&before_);
        is_set = cudaSetDevice(starpu_memory_node_get_devid(node)) == cudaSuccess;
    }
    CurrentDevice(const CurrentDevice&) = delete;
    CurrentDevice& operator=(const CurrentDevice&) = delete;
    ~CurrentDevice() { cudaSetDevice(before_); }

    bool is_set = false;

  private:
    int before_ = 0;
};

void* allocate_on(unsigned node, std::int64_t bytes) {
    const CurrentDevice device(node);
    void* memory = nullptr;
    if (!device.is_set || cudaMalloc(&memory, static_cast<std::size_t>(bytes)) != cudaSuccess) {
        memory = nullptr;
        cudaGetLastError(); // not an error of the run: clear it
    }
    return memory;
}
void free_memory(void* memory) {
    cudaFree(memory);
}
#else
void* allocate_on(unsigned /*node*/, std::int64_t /*bytes*/) {
    return nullptr;
}
void free_memory(void* /*memory*/) {}
#endif

std::int64_t taken_bytes(reservation& of) {
    const std::lock_guard lock(of.mutex);
    return of.taken_bytes;
}

} // namespace

bool reserve_buffers(unsigned node, const std::vector<device_buffers>& wanted) {
    reservation& here = reservation_of(node);
    if (here.memory != nullptr && here.buffers == wanted) {
        count_device_memory(node);
        return true;
    }
    release_buffers(node);
    std::int64_t bytes = 0;
    for (const device_buffers& one : wanted)
        bytes += one.count * one.bytes;
    bytes = (bytes + page_bytes - 1) / page_bytes * page_bytes;
    if (starpu_memory_allocate(node, static_cast<std::size_t>(bytes), 0) != 0) return false;
    void* memory = allocate_on(node, bytes);
    if (memory == nullptr) {
        starpu_memory_deallocate(node, static_cast<std::size_t>(bytes));
        return false;
    }
    count_device_memory(node);
    const std::lock_guard lock(here.mutex);
    here.memory = memory;
    here.bytes = bytes;
    here.buffers = wanted;
    here.free.clear();
    auto next = reinterpret_cast<std::uintptr_t>(memory);
    for (const device_buffers& one : wanted) {
        for (std::int64_t i = 0; i < one.count; ++i) {
            here.free[one.bytes].push_back(next);
            next += static_cast<std::uintptr_t>(one.bytes);
        }
    }
    return true;
}

void release_buffers(unsigned node) {
    reservation& here = reservation_of(node);
    if (here.memory == nullptr) return;
    // StarPU keeps buffers of handles that are no more, and lets go of them a few at a time.
    for (int attempt = 0; attempt < 100 && taken_bytes(here) > 0; ++attempt)
        drain_allocation_cache(node, taken_bytes(here));
    const std::lock_guard lock(here.mutex);
    if (here.taken_bytes == 0) {
        free_memory(here.memory);
        starpu_memory_deallocate(node, static_cast<std::size_t>(here.bytes));
    }
    here.memory = nullptr;
    here.bytes = 0;
    here.buffers.clear();
    here.free.clear();
    here.taken_bytes = 0;
}

std::int64_t reserved_bytes(unsigned node) {
    reservation& here = reservation_of(node);
    const std::lock_guard lock(here.mutex);
    return here.bytes;
}

std::uintptr_t take_buffer(unsigned node, std::int64_t bytes) {
    reservation& here = reservation_of(node);
    {
        const std::lock_guard lock(here.mutex);
        if (here.memory != nullptr) {
            const auto size = here.free.find(bytes);
            if (size == here.free.end() || size->second.empty()) return 0;
            const std::uintptr_t buffer = size->second.back();
            size->second.pop_back();
            here.taken_bytes += bytes;
            return buffer;
        }
    }
    return starpu_malloc_on_node(node, static_cast<std::size_t>(bytes));
}

void give_buffer(unsigned node, std::uintptr_t buffer, std::int64_t bytes) {
    reservation& here = reservation_of(node);
    {
        const std::lock_guard lock(here.mutex);
        if (here.memory != nullptr) {
            here.free[bytes].push_back(buffer);
            here.taken_bytes -= bytes;
            return;
        }
    }
    starpu_free_on_node(node, buffer, static_cast<std::size_t>(bytes));
}

#ifdef CQSA_WITH_CUDA
void clear_buffer(unsigned node, std::uintptr_t buffer, std::int64_t bytes) {
    const CurrentDevice device(node);
    cudaMemset(reinterpret_cast<void*>(buffer), 0, static_cast<std::size_t>(bytes));
    cudaStreamSynchronize(nullptr);
}
#else
void clear_buffer(unsigned /*node*/, std::uintptr_t /*buffer*/, std::int64_t /*bytes*/) {}
#endif

} // namespace cqsa
