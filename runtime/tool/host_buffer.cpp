// SPDX-License-Identifier: Apache-2.0
#include "runtime/tool/host_buffer.hpp"

#include "planner/describe.hpp"
#include "planner/error.hpp"

#include <sys/mman.h>
#include <utility>

namespace cqsa::tool {
HostBuffer::HostBuffer(std::int64_t bytes) : size_(static_cast<std::size_t>(bytes)) {
    if (size_ == 0) return;
    void* memory = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        throw Error(error_code::does_not_fit, "the system refuses " + bytes_for_people(bytes) +
                                                  " of main memory for an array");
    data_ = memory;
    ::madvise(data_, size_, MADV_HUGEPAGE);
}

HostBuffer::~HostBuffer() {
    if (data_ != nullptr) ::munmap(data_, size_);
}

HostBuffer::HostBuffer(HostBuffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

HostBuffer& HostBuffer::operator=(HostBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
}

} // namespace cqsa::tool
