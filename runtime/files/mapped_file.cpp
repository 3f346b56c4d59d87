// SPDX-License-Identifier: Apache-2.0
#include "runtime/files/mapped_file.hpp"

#include "runtime/files/text.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace cqsa::files {

MappedFile::MappedFile(const std::string& path, const std::string& operand) {
    // O_NONBLOCK: opening a FIFO must not wait for a writer that never comes.
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) bad_input(operand, "the file cannot be opened: " + reason(errno));
    struct stat status {};
    if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
        ::close(descriptor);
        bad_input(operand, S_ISDIR(status.st_mode) ? "expected a file, but this is a folder"
                                                   : "expected a regular file that can be mapped");
    }
    identity_ = {status.st_dev, status.st_ino};
    size_ = static_cast<std::size_t>(status.st_size);
    if (size_ > 0) {
        void* mapping = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, descriptor, 0);
        if (mapping == MAP_FAILED) {
            const int error = errno;
            ::close(descriptor);
            bad_input(operand, "the file cannot be mapped: " + reason(error));
        }
        data_ = mapping;
    }
    ::close(descriptor);
}

MappedFile::~MappedFile() {
    if (data_ != nullptr) ::munmap(data_, size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)),
      identity_(other.identity_) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(identity_, other.identity_);
    return *this;
}

void MappedFile::will_need(std::span<const std::byte> part) const {
    if (part.empty()) return;
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    auto* base = static_cast<std::byte*>(data_);
    const auto offset = static_cast<std::size_t>(part.data() - base);
    const std::size_t begin = offset / page * page;
    ::madvise(base + begin, offset - begin + part.size(), MADV_WILLNEED);
}

} // namespace cqsa::files
