// SPDX-License-Identifier: Apache-2.0
// Copies of host memory that is not page-locked, on whatever GPU the program has, also a simulated
// one.
#include "codelets/staged_copies.hpp"
#include "tests/cuda/device.hpp"

#include <algorithm>
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace cqsa {
namespace {

using direction = StagedCopies::direction;

std::vector<std::byte> numbered(std::size_t bytes) {
    std::vector<std::byte> content(bytes);
    std::uint32_t number = 1;
    for (std::byte& one : content) {
        number = number * 1664525 + 1013904223;
        one = static_cast<std::byte>(number >> 24);
    }
    return content;
}

class StagedCopiesTest : public test::GpuTest<::testing::Test> {
  protected:
    void SetUp() override {
        test::GpuTest<::testing::Test>::SetUp();
        if (!IsSkipped()) cuda::check(cudaStreamCreate(&stream), "creating a stream");
    }
    void TearDown() override {
        if (stream != nullptr) cudaStreamDestroy(stream);
    }

    cudaStream_t stream = nullptr;
};

TEST(HostArray, PacksItsRuns) {
    std::vector<std::byte> memory = numbered(1000);
    // Two times three runs of seven bytes.
    const host_array array{memory.data() + 5, 7, {{1, 0}, {2, 400}, {3, 50}}};
    ASSERT_EQ(array.bytes(), 42);
    EXPECT_EQ(array.last_byte(), memory.data() + 511);
    std::vector<std::byte> expected;
    for (const int begin : {5, 55, 105, 405, 455, 505})
        expected.insert(expected.end(), memory.begin() + begin, memory.begin() + begin + 7);
    for (std::int64_t begin = 0; begin < 42; ++begin) {
        for (std::int64_t end = begin; end <= 42; ++end) {
            std::vector<std::byte> packed(static_cast<std::size_t>(end - begin));
            copy_packed(direction::to_device, array, begin, end, packed.data());
            EXPECT_EQ(packed, std::vector(expected.begin() + begin, expected.begin() + end));
        }
    }
    const std::vector<std::byte> before = memory;
    std::fill_n(memory.begin() + 455, 7, std::byte{0}); // the second run of the second part
    copy_packed(direction::to_host, array, 28, 35, expected.data() + 28);
    EXPECT_EQ(memory, before);
}

TEST_F(StagedCopiesTest, TellsPageLockedMemory) {
    void* locked = nullptr;
    ASSERT_EQ(cudaHostAlloc(&locked, 4096, cudaHostAllocPortable), cudaSuccess);
    const std::vector<std::byte> pageable(4096);
    EXPECT_TRUE(StagedCopies::is_page_locked(locked));
    EXPECT_FALSE(StagedCopies::is_page_locked(pageable.data()));
    cudaFreeHost(locked);
}

// More bytes than the ring holds, so that each of its slots is used again; more than once, as one
// block follows another.
TEST_F(StagedCopiesTest, BringsEveryByteThereAndBack) {
    constexpr std::int64_t heads = 3;
    constexpr std::int64_t run = 16'777'259;   // a prime
    constexpr std::int64_t stride = run + 999; // bytes between heads
    const std::vector<std::byte> source = numbered(heads * stride);
    std::vector<std::byte> from = source;
    std::vector<std::byte> back(heads * stride, std::byte{7});
    const host_array given{from.data(), run, {{1, 0}, {1, 0}, {heads, stride}}};
    const host_array result{back.data(), run, {{1, 0}, {1, 0}, {heads, stride}}};
    const test::DeviceBuffer device(heads * run);
    StagedCopies copies;
    for (int turn = 0; turn < 2; ++turn) {
        ASSERT_TRUE(copies.enqueue(direction::to_device, given, device.data(), stream));
        ASSERT_TRUE(copies.enqueue(direction::to_host, result, device.data(), stream));
    }
    ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    for (std::int64_t head = 0; head < heads; ++head) {
        const auto begin = head * stride;
        EXPECT_TRUE(
            std::equal(back.begin() + begin, back.begin() + begin + run, source.begin() + begin));
        // What lies between the heads stays as it was.
        EXPECT_EQ(back[static_cast<std::size_t>(begin + run)], std::byte{7});
    }
}

} // namespace
} // namespace cqsa
