// SPDX-License-Identifier: Apache-2.0
#include "runtime/files/output_file.hpp"

#include "runtime/files/text.hpp"

#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <random>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace cqsa::files {
namespace {

/// Paths of living temporaries where a signal handler can read them: never freed, and `live` only
/// while the text is whole.
struct temporary_slot {
    std::atomic<bool> taken = false;
    std::atomic<bool> live = false;
    std::array<char, PATH_MAX> path{};
};
std::array<temporary_slot, 16> slots; // more outputs than this a process does not write at once

int take_slot(const std::string& path) {
    if (path.size() >= PATH_MAX) return -1;
    for (std::size_t i = 0; i < slots.size(); ++i) {
        if (slots[i].taken.exchange(true)) continue;
        std::memcpy(slots[i].path.data(), path.c_str(), path.size() + 1);
        slots[i].live = true;
        return static_cast<int>(i);
    }
    return -1;
}

void free_slot(int slot) noexcept {
    if (slot < 0) return;
    slots[static_cast<std::size_t>(slot)].live = false;
    slots[static_cast<std::size_t>(slot)].taken = false;
}

std::string folder_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    if (slash == std::string::npos) return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

std::string name_of_file(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    return slash == std::string::npos ? path : path.substr(slash + 1);
}

std::string random_name() {
    std::random_device source;
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "/.cqsa-%08x%08x.tmp", source(), source());
    return text.data();
}

[[noreturn]] void unusable(const std::string& operand, const std::string& what) {
    throw Error(error_code::usage, operand + ": " + what);
}

/// The mode of the file that will be replaced, if there is one.
std::optional<mode_t> check_target(const std::string& path, const std::string& operand) {
    if (name_of_file(path).empty()) unusable(operand, "expected the name of a file");
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) {
        if (errno == ENOENT) return std::nullopt;
        throw Error(error_code::failure,
                    operand + ": the file cannot be written: " + reason(errno));
    }
    if (S_ISLNK(status.st_mode))
        unusable(operand, "this is a symbolic link, which would be replaced: name the file itself");
    if (S_ISDIR(status.st_mode)) unusable(operand, "expected a file, but this is a folder");
    if (!S_ISREG(status.st_mode))
        unusable(operand, "expected a regular file, but this is a device, pipe or socket");
    if (::faccessat(AT_FDCWD, path.c_str(), W_OK, AT_EACCESS) != 0)
        throw Error(error_code::failure,
                    operand + ": the existing file is not writable: " + reason(errno));
    return status.st_mode & 07777;
}

} // namespace

OutputFile::OutputFile(std::string path, std::int64_t bytes, std::string operand)
    : path_(std::move(path)), operand_(std::move(operand)), size_(static_cast<std::size_t>(bytes)) {
    const auto mode = check_target(path_, operand_);
    for (int attempt = 0; descriptor_ < 0; ++attempt) {
        temporary_ = folder_of(path_) + random_name();
        descriptor_ =
            ::open(temporary_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (descriptor_ < 0 && (errno != EEXIST || attempt == 100))
            fail("no file can be created in the folder '" + printable(folder_of(path_)) + "'",
                 errno);
    }
    slot_ = take_slot(temporary_);
    try {
        if (mode && ::fchmod(descriptor_, *mode) != 0)
            fail("the mode of the existing file cannot be kept", errno);
        int error = 0;
        if (size_ > 0) {
            do {
                error = ::posix_fallocate(descriptor_, 0, bytes);
            } while (error == EINTR);
        }
        if (error != 0) fail("no room for its " + std::to_string(bytes) + " bytes", error);
        if (size_ > 0) {
            void* mapping =
                ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor_, 0);
            if (mapping == MAP_FAILED) fail("the file cannot be mapped", errno);
            data_ = mapping;
        }
    } catch (...) {
        discard();
        throw;
    }
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : path_(std::move(other.path_)), operand_(std::move(other.operand_)),
      temporary_(std::move(other.temporary_)), descriptor_(std::exchange(other.descriptor_, -1)),
      slot_(std::exchange(other.slot_, -1)), data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

OutputFile::~OutputFile() {
    discard();
}

void OutputFile::discard() noexcept {
    if (data_ != nullptr) ::munmap(std::exchange(data_, nullptr), size_);
    if (descriptor_ < 0) return;
    ::close(std::exchange(descriptor_, -1));
    ::unlink(temporary_.c_str());
    free_slot(std::exchange(slot_, -1));
}

void OutputFile::fail(const std::string& what, int error_number) const {
    throw Error(error_code::failure, operand_ + ": " + what + ": " + reason(error_number));
}

void OutputFile::sync() {
    if (data_ != nullptr && ::msync(data_, size_, MS_SYNC) != 0)
        fail("the bytes cannot be brought to the disk", errno);
    if (::fsync(descriptor_) != 0) fail("the bytes cannot be brought to the disk", errno);
}

void OutputFile::commit() {
    sync();
    if (::rename(temporary_.c_str(), path_.c_str()) != 0)
        fail("the finished file cannot be renamed to its name", errno);
    free_slot(std::exchange(slot_, -1));
    if (data_ != nullptr) ::munmap(std::exchange(data_, nullptr), size_);
    ::close(std::exchange(descriptor_, -1));
    // The rename itself reaches the disk with the folder; a folder that cannot be synced is no
    // reason to call a complete file a failure.
    const int folder = ::open(folder_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0) {
        ::fsync(folder);
        ::close(folder);
    }
}

std::optional<file_identity> identity_of(const std::string& path) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) return std::nullopt;
    return file_identity{status.st_dev, status.st_ino};
}

bool same_output(const std::string& a, const std::string& b) {
    if (a == b) return true;
    const auto file_a = identity_of(a);
    if (file_a && file_a == identity_of(b)) return true;
    const auto folder_a = identity_of(folder_of(a));
    return folder_a && folder_a == identity_of(folder_of(b)) && name_of_file(a) == name_of_file(b);
}

void unlink_temporaries() noexcept {
    for (auto& slot : slots)
        if (slot.live) ::unlink(slot.path.data());
}

} // namespace cqsa::files
