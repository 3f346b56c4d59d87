// SPDX-License-Identifier: Apache-2.0
#include "codelets/staged_copies.hpp"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <array>
#include <barrier>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <sched.h>
#include <thread>
#include <vector>

namespace cqsa {
namespace {

// A slot is filled in about as long as a message to the threads takes, so smaller ones are slower;
// a ring of four keeps threads and bus busy at once.
constexpr std::int64_t slot_bytes = std::int64_t{8} << 20;
constexpr std::size_t slots = 4;
constexpr unsigned most_threads = 8; // more do not copy faster (16 cores of a Xeon, DDR5)

// StarPU, which asks for the copies, takes no error back.
void require(cudaError_t status) {
    if (status == cudaSuccess) return;
    std::fprintf(stderr, "cqsa: a copy failed on the GPU: %s\n", cudaGetErrorString(status));
    std::abort();
}

} // namespace

const std::byte* host_array::last_byte() const {
    const std::byte* last = data + run_bytes - 1;
    for (const axis& a : axes)
        last += (a.extent - 1) * a.stride;
    return last;
}

void copy_packed(StagedCopies::direction towards, const host_array& host, std::int64_t begin,
                 std::int64_t end, std::byte* packed) {
    while (begin < end) {
        const std::int64_t inside = begin % host.run_bytes;
        std::int64_t run = begin / host.run_bytes;
        std::byte* at = host.data + inside;
        for (int level = 2; level >= 0; --level) {
            at += run % host.axes[level].extent * host.axes[level].stride;
            run /= host.axes[level].extent;
        }
        const std::int64_t bytes = std::min(host.run_bytes - inside, end - begin);
        if (towards == StagedCopies::direction::to_device)
            std::memcpy(packed, at, static_cast<std::size_t>(bytes));
        else
            std::memcpy(at, packed, static_cast<std::size_t>(bytes));
        packed += bytes;
        begin += bytes;
    }
}

/// Threads that do the same work together, on these processors.
class StagedCopies::Team {
  public:
    Team(unsigned count, const cpu_set_t& processors)
        : processors_(processors), begin_(count + 1), end_(count + 1) {
        for (unsigned i = 0; i < count; ++i)
            threads_.emplace_back([this, i] {
                move_here();
                for (begin_.arrive_and_wait(); work_; begin_.arrive_and_wait()) {
                    work_(i);
                    end_.arrive_and_wait();
                }
            });
    }
    ~Team() {
        work_ = nullptr;
        begin_.arrive_and_wait();
    }
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;

    [[nodiscard]] unsigned size() const { return static_cast<unsigned>(threads_.size()); }

    /// Lets the calling thread use the team's processors.
    void move_here() const { sched_setaffinity(0, sizeof processors_, &processors_); }

    /// Calls work(i), 0 <= i < size(), and waits for all. Works of several callers follow each
    /// other.
    void run(std::function<void(unsigned)> work) {
        const std::lock_guard lock(mutex_);
        work_ = std::move(work);
        begin_.arrive_and_wait();
        end_.arrive_and_wait();
    }

  private:
    const cpu_set_t processors_;
    std::mutex mutex_;
    std::function<void(unsigned)> work_; ///< empty: the end
    std::barrier<> begin_;
    std::barrier<> end_;
    std::vector<std::jthread> threads_; ///< last, so that they end first
};

/// The page-locked memory of one stream's copies, and the stream on which it meets host memory.
class StagedCopies::Ring {
  public:
    /// Null where there is no memory to lock.
    static std::unique_ptr<Ring> make(Team& team) {
        void* memory = nullptr;
        if (cudaHostAlloc(&memory, slots * slot_bytes, cudaHostAllocPortable) != cudaSuccess) {
            cudaGetLastError(); // not an error of the run: clear it
            return nullptr;
        }
        return std::unique_ptr<Ring>(new Ring(team, static_cast<std::byte*>(memory)));
    }
    ~Ring() {
        for (const slot& one : slots_) {
            cudaEventDestroy(one.full);
            cudaEventDestroy(one.free);
        }
        cudaStreamDestroy(host_stream_);
        cudaFreeHost(memory_);
    }
    Ring(const Ring&) = delete;
    Ring& operator=(const Ring&) = delete;

    void enqueue(direction towards, const host_array& host, std::byte* device,
                 cudaStream_t stream) {
        const bool to_device = towards == direction::to_device;
        const cudaStream_t filling = to_device ? host_stream_ : stream;
        const cudaStream_t emptying = to_device ? stream : host_stream_;
        for (std::int64_t begin = 0; begin < host.bytes(); begin += slot_bytes) {
            const std::int64_t end = std::min(begin + slot_bytes, host.bytes());
            const slot& one = slots_[next_++ % slots];
            const auto on_bus = [&] {
                const auto bytes = static_cast<std::size_t>(end - begin);
                require(to_device ? cudaMemcpyAsync(device + begin, one.memory, bytes,
                                                    cudaMemcpyHostToDevice, stream)
                                  : cudaMemcpyAsync(one.memory, device + begin, bytes,
                                                    cudaMemcpyDeviceToHost, stream));
            };
            const auto in_host_memory = [&] {
                auto* const one_job = new job{&team_, towards, host, begin, end, one.memory};
                require(cudaLaunchHostFunc(host_stream_, perform, one_job));
            };
            require(cudaStreamWaitEvent(filling, one.free, 0));
            to_device ? in_host_memory() : on_bus();
            require(cudaEventRecord(one.full, filling));
            require(cudaStreamWaitEvent(emptying, one.full, 0));
            to_device ? on_bus() : in_host_memory();
            require(cudaEventRecord(one.free, emptying));
            if (!to_device && end == host.bytes())
                require(cudaStreamWaitEvent(stream, one.free, 0));
        }
    }

  private:
    struct slot {
        std::byte* memory;
        cudaEvent_t full;
        cudaEvent_t free;
    };
    struct job {
        Team* team;
        direction towards;
        host_array host;
        std::int64_t begin;
        std::int64_t end;
        std::byte* packed;
    };

    Ring(Team& team, std::byte* memory) : team_(team), memory_(memory) {
        require(cudaStreamCreateWithFlags(&host_stream_, cudaStreamNonBlocking));
        for (std::size_t i = 0; i < slots; ++i) {
            slots_[i].memory = memory + static_cast<std::int64_t>(i) * slot_bytes;
            require(cudaEventCreateWithFlags(&slots_[i].full, cudaEventDisableTiming));
            require(cudaEventCreateWithFlags(&slots_[i].free, cudaEventDisableTiming));
        }
    }

    // On a thread of CUDA's, which would share the processor of the StarPU worker that started it.
    static void perform(void* argument) {
        const std::unique_ptr<job> one(static_cast<job*>(argument));
        one->team->move_here();
        const std::int64_t count = one->team->size();
        const std::int64_t bytes = one->end - one->begin;
        one->team->run([&](unsigned i) {
            const std::int64_t begin = bytes * i / count;
            const std::int64_t end = bytes * (i + 1) / count;
            copy_packed(one->towards, one->host, one->begin + begin, one->begin + end,
                        one->packed + begin);
        });
    }

    Team& team_;
    std::byte* memory_;
    cudaStream_t host_stream_ = nullptr;
    std::array<slot, slots> slots_{};
    std::size_t next_ = 0;
};

StagedCopies::StagedCopies() {
    CPU_ZERO(&processors_); // what it stays where there are too many
    sched_getaffinity(0, sizeof processors_, &processors_);
}
StagedCopies::~StagedCopies() = default;

bool StagedCopies::is_page_locked(const void* address) {
    cudaPointerAttributes attributes{};
    if (cudaPointerGetAttributes(&attributes, address) != cudaSuccess) {
        cudaGetLastError();
        return false;
    }
    return attributes.type != cudaMemoryTypeUnregistered;
}

bool StagedCopies::enqueue(direction towards, const host_array& host, void* device, void* stream) {
    const std::lock_guard lock(mutex_);
    if (!team_)
        team_ = std::make_unique<Team>(
            std::clamp(static_cast<unsigned>(CPU_COUNT(&processors_)) / 2, 1U, most_threads),
            processors_);
    std::unique_ptr<Ring>& ring = rings_[stream];
    if (!ring) ring = Ring::make(*team_);
    if (!ring) return false;
    ring->enqueue(towards, host, static_cast<std::byte*>(device),
                  static_cast<cudaStream_t>(stream));
    return true;
}

} // namespace cqsa
