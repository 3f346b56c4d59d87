// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace cqsa::files {

/// What makes two paths the same file.
struct file_identity {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    friend bool operator==(const file_identity&, const file_identity&) = default;
};

/// A regular file mapped read-only; nothing is read until it is touched. A file that another
/// program shortens while it is mapped raises SIGBUS on the missing pages, as every mapping does.
class MappedFile {
  public:
    /// Throws Error(bad_input); `operand` begins the sentence.
    MappedFile(const std::string& path, const std::string& operand);
    ~MappedFile();
    MappedFile(MappedFile&& other) noexcept;
    MappedFile& operator=(MappedFile&& other) noexcept;
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;

    [[nodiscard]] std::span<const std::byte> bytes() const {
        return {static_cast<const std::byte*>(data_), size_};
    }
    [[nodiscard]] file_identity identity() const { return identity_; }

    /// Asks the kernel to start reading these bytes of the mapping ahead. For data that fit memory.
    void will_need(std::span<const std::byte> part) const;

  private:
    void* data_ = nullptr;
    std::size_t size_ = 0;
    file_identity identity_;
};

} // namespace cqsa::files
