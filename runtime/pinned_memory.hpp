// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

namespace cqsa {

/// Page-locks ranges of the caller's memory for as long as the object lives, so that a GPU copies
/// them at full speed and without stopping the thread that asks for the copy. A range that cannot
/// be locked (already locked by the application, a limit of the system) stays as it is: slower, not
/// wrong. Does nothing in a build without CUDA.
class PinnedMemory {
  public:
    struct range {
        const void* begin = nullptr;
        std::size_t bytes = 0;
    };
    explicit PinnedMemory(const std::vector<range>& ranges);
    ~PinnedMemory();
    PinnedMemory(const PinnedMemory&) = delete;
    PinnedMemory& operator=(const PinnedMemory&) = delete;

  private:
    std::vector<void*> pinned_;
};

} // namespace cqsa
