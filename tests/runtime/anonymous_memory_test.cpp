// SPDX-License-Identifier: Apache-2.0
#include "runtime/anonymous_memory.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <vector>

#include <sys/mman.h>

namespace cqsa::test {
namespace {

constexpr std::size_t mapped_bytes = std::size_t{1} << 20;

bool is_anonymous(const void* begin, std::size_t count = mapped_bytes) {
    return is_anonymous_memory(reinterpret_cast<std::uintptr_t>(begin), count);
}

TEST(AnonymousMemory, IsWhatTheProcessAllocates) {
    const std::vector<char> heap(mapped_bytes);
    EXPECT_TRUE(is_anonymous(heap.data()));
    const int local = 0;
    EXPECT_TRUE(is_anonymous(&local, sizeof local));
    void* mapped =
        mmap(nullptr, 2 * mapped_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(mapped, MAP_FAILED);
    EXPECT_TRUE(is_anonymous(mapped, 2 * mapped_bytes));
    // Two mappings of unlike kind, of which the second may only be read.
    ASSERT_EQ(mprotect(static_cast<char*>(mapped) + mapped_bytes, mapped_bytes, PROT_READ), 0);
    EXPECT_TRUE(is_anonymous(mapped));
    EXPECT_FALSE(is_anonymous(mapped, mapped_bytes + 1));
    munmap(mapped, 2 * mapped_bytes);
    EXPECT_FALSE(is_anonymous(nullptr, 1));
}

TEST(AnonymousMemory, IsNoMappingOfAFile) {
    std::FILE* file = std::tmpfile();
    ASSERT_NE(file, nullptr);
    ASSERT_EQ(std::fseek(file, mapped_bytes - 1, SEEK_SET), 0);
    ASSERT_NE(std::fputc(0, file), EOF);
    ASSERT_EQ(std::fflush(file), 0);
    for (const int access : {PROT_READ, PROT_READ | PROT_WRITE}) {
        void* mapped = mmap(nullptr, mapped_bytes, access, MAP_SHARED, fileno(file), 0);
        ASSERT_NE(mapped, MAP_FAILED);
        EXPECT_FALSE(is_anonymous(mapped));
        munmap(mapped, mapped_bytes);
    }
    std::fclose(file);
}

} // namespace
} // namespace cqsa::test
