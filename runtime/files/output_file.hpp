// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/files/mapped_file.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace cqsa::files {

/// A file that appears at its path only when it is complete. Its bytes go to a temporary in the
/// same folder (".cqsa-*.tmp") that is sized on disk at once, mapped for writing, and renamed by
/// commit; destroyed before that, it leaves what was at the path as it was.
class OutputFile {
  public:
    /// Throws Error(usage) when the path is not one to write to (a symbolic link, a device, a
    /// folder) and Error(failure) when the system refuses (no such folder, no permission, no room
    /// on the disk); `operand` begins the sentence.
    OutputFile(std::string path, std::int64_t bytes, std::string operand);
    ~OutputFile();
    OutputFile(OutputFile&& other) noexcept;
    OutputFile& operator=(OutputFile&&) = delete;
    OutputFile(const OutputFile&) = delete;
    OutputFile& operator=(const OutputFile&) = delete;

    [[nodiscard]] std::span<std::byte> bytes() { return {static_cast<std::byte*>(data_), size_}; }

    /// Brings the bytes to the disk. Throws Error(failure).
    void sync();
    /// Syncs and renames. Throws Error(failure); the old file is then still there.
    void commit();

  private:
    void discard() noexcept;
    [[noreturn]] void fail(const std::string& what, int error_number) const;

    std::string path_;
    std::string operand_;
    std::string temporary_;
    int descriptor_ = -1;
    int slot_ = -1;
    void* data_ = nullptr;
    std::size_t size_ = 0;
};

/// What stands at the path now, symbolic links followed; nothing where nothing does.
std::optional<file_identity> identity_of(const std::string& path);

/// True when writing to both paths would write the same file.
bool same_output(const std::string& a, const std::string& b);

/// Removes every temporary of this process that is not yet committed. Async-signal-safe, for
/// handlers that end the process.
void unlink_temporaries() noexcept;

} // namespace cqsa::files
