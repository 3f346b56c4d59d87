// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace cqsa::tool {

/// Zeroed memory straight from the kernel: pages exist once touched, so the threads that fill it
/// place it.
class HostBuffer {
  public:
    HostBuffer() = default;
    /// Throws Error(does_not_fit).
    explicit HostBuffer(std::int64_t bytes);
    ~HostBuffer();
    HostBuffer(HostBuffer&& other) noexcept;
    HostBuffer& operator=(HostBuffer&& other) noexcept;
    HostBuffer(const HostBuffer&) = delete;
    HostBuffer& operator=(const HostBuffer&) = delete;

    [[nodiscard]] void* data() const { return data_; }

  private:
    void* data_ = nullptr;
    std::size_t size_ = 0;
};

} // namespace cqsa::tool
