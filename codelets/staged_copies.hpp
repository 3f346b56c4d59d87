// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <sched.h>

namespace cqsa {

struct host_array;

/// Copies between GPUs and host memory that is not page-locked and shall not be: files that are
/// mapped. CUDA's own copies of such memory hold up the thread that asks for them and reach a
/// fraction of the bus's rate. Here they pass through a ring of page-locked memory that threads of
/// ours fill or empty, while the calling thread goes on.
///
/// Only in a build with CUDA. No member may be called while a GPU is reset.
class StagedCopies {
  public:
    enum class direction : std::uint8_t { to_device, to_host };

    /// Half of the processors on which the calling thread may run will copy, at most eight.
    StagedCopies();
    /// No copy may be under way.
    ~StagedCopies();
    StagedCopies(const StagedCopies&) = delete;
    StagedCopies& operator=(const StagedCopies&) = delete;

    /// Whether CUDA can copy the memory at this address by itself at full speed.
    static bool is_page_locked(const void* address);

    /// Enqueues a copy between `host` and the `host.bytes()` packed bytes at `device`, of the
    /// current device, in the order of `stream` (a cudaStream_t). The first copy on a stream takes
    /// 32 MiB of page-locked memory; false, and nothing is enqueued, where the system has none.
    /// Aborts with a sentence when CUDA fails, as StarPU does.
    bool enqueue(direction towards, const host_array& host, void* device, void* stream);

  private:
    class Ring;
    class Team;

    cpu_set_t processors_;
    std::mutex mutex_;
    std::unique_ptr<Team> team_;
    std::map<void*, std::unique_ptr<Ring>> rings_; ///< by stream
};

/// An array in host memory as runs of contiguous bytes. Its packed bytes are the runs one after
/// another.
struct host_array {
    struct axis {
        std::int64_t extent;
        std::int64_t stride; ///< bytes
    };
    std::byte* data = nullptr;
    std::int64_t run_bytes = 0;
    axis axes[3] = {{1, 0}, {1, 0}, {1, 0}}; ///< of runs, outermost first

    [[nodiscard]] std::int64_t bytes() const {
        return run_bytes * axes[0].extent * axes[1].extent * axes[2].extent;
    }
    [[nodiscard]] const std::byte* last_byte() const;
};

/// Copies the packed bytes [begin, end) to or from `packed`, which holds just these.
void copy_packed(StagedCopies::direction towards, const host_array& host, std::int64_t begin,
                 std::int64_t end, std::byte* packed);

} // namespace cqsa
