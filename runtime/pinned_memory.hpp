// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/host_pieces.hpp"
#include "planner/plan.hpp"
#include "runtime/operands.hpp"

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace cqsa {

class StagedCopies;

/// Page-locks the caller's arrays while a plan runs, so that GPUs copy them at full speed and
/// without stopping the thread that asks for a copy: in the background, piece by piece in the order
/// in which the plan's steps want them, and releases them at the end of its life. Memory not yet
/// locked, or that cannot be (a limit of the system), is copied more slowly, never wrongly. Arrays
/// that the caller has locked are left as they are and cost nothing; those that map files are left
/// to StagedCopies.
///
/// Locking takes about 0.05 s for each GiB, releasing half of that, and CUDA lets no other call
/// pass meanwhile (measured on an H100, kernel 6.18, driver 580): hence the pieces, and a rest
/// after each. Does nothing in a build without CUDA.
class PinnedMemory {
  public:
    /// Begins to lock. `given` and `followed` outlive the object.
    PinnedMemory(const operands& given, const plan& followed);
    ~PinnedMemory();
    PinnedMemory(const PinnedMemory&) = delete;
    PinnedMemory& operator=(const PinnedMemory&) = delete;

    /// Where copies of the arrays have to be cut.
    [[nodiscard]] const HostPieces& pieces() const { return pieces_; }
    /// What copies the arrays that are not locked; null in a build without CUDA.
    [[nodiscard]] StagedCopies* staged_copies() const { return staged_.get(); }

    /// Returns when what the first steps want has been dealt with.
    void wait_for_first_steps();

  private:
    enum class haste : std::uint8_t { hurried, leisurely };

    void pin(const std::stop_token& stop);
    void pin_block(const std::stop_token& stop, haste how, const tensor& array, std::int64_t begin,
                   std::int64_t tokens);
    void pin_piece(std::size_t index, haste how);

    const operands& given_;
    const plan& plan_;
    HostPieces pieces_;
    std::shared_ptr<StagedCopies> staged_;
    std::vector<bool> tried_; ///< [pieces]
    std::size_t untried_;
    std::vector<void*> pinned_;
    std::mutex mutex_;
    std::condition_variable changed_;
    bool first_steps_done_ = false;
    std::jthread thread_; ///< last, so that it ends before what it uses
};

} // namespace cqsa
