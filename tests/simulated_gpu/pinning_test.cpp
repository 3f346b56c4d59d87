// SPDX-License-Identifier: Apache-2.0
// Host memory that is page-locked while it is copied: CUDA, and so the simulated one, refuses
// copies over the edge of what was locked at a time, and StarPU aborts then.
#include "runtime/attend.hpp"
#include "tests/simulated_gpu/simulated_gpu.hpp"

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <string>
#include <sys/mman.h>
#include <vector>

namespace cqsa::test {
namespace {

constexpr std::int64_t heads = 8;
constexpr std::int64_t tokens = 40'000;
constexpr std::int64_t dim = 64;
constexpr std::int64_t elements = heads * tokens * dim;
constexpr std::array<std::int64_t, 4> shape{1, heads, tokens, dim};

// Arrays of many pieces, of which only the time of copies and kernels passes.
class Pinning : public ::testing::Test {
  protected:
    Pinning() : before_(simulated::current()) { simulated::current().computes = false; }
    ~Pinning() override { simulated::current() = before_; }

    // Q, K, V at these offsets (in elements) of one array.
    attend_report run(std::uint16_t* base, const std::array<std::int64_t, 3>& offsets,
                      const std::array<std::int64_t, 4>& strides) {
        const auto view = [&](std::int64_t offset) -> tensor {
            return {base + offset, data_type::bf16, shape, strides};
        };
        attend_options options;
        options.workers = worker_set::cuda;
        options.device_bytes = std::int64_t{64} << 20;
        options.mask = mask_rule::causal_top_left;
        return attend(view(offsets[0]), view(offsets[1]), view(offsets[2]),
                      {out.data(), data_type::bf16, shape, bhnd_strides(shape)}, {}, options);
    }

    std::vector<std::uint16_t> out = std::vector<std::uint16_t>(elements);

  private:
    simulated::settings before_;
};

void expect_all_bytes(const attend_report& report) {
    EXPECT_EQ(report.measured.d2h_bytes, elements * 2);
    EXPECT_GE(report.measured.h2d_bytes, 3 * elements * 2);
}

TEST_F(Pinning, TakesArraysOfAnyAlignment) {
    std::vector<std::uint16_t> memory(3 * elements + 64);
    expect_all_bytes(
        run(memory.data() + 3, {0, elements + 8, 2 * elements + 16}, bhnd_strides(shape)));
}

TEST_F(Pinning, TakesTokenMajorArrays) {
    std::vector<std::uint16_t> memory(3 * elements);
    expect_all_bytes(run(memory.data(), {0, elements, 2 * elements}, bnhd_strides(shape)));
}

TEST_F(Pinning, TakesQueriesKeysAndValuesOfOnePackedArray) {
    std::vector<std::uint16_t> memory(3 * elements);
    expect_all_bytes(run(memory.data(), {0, heads * dim, 2 * heads * dim},
                         {3 * elements, dim, 3 * heads * dim, 1}));
}

TEST_F(Pinning, LeavesWhatTheCallerHasPinned) {
    void* memory = nullptr;
    ASSERT_EQ(cudaHostAlloc(&memory, 3 * elements * 2, cudaHostAllocPortable), cudaSuccess);
    expect_all_bytes(
        run(static_cast<std::uint16_t*>(memory), {0, elements, 2 * elements}, bhnd_strides(shape)));
    cudaPointerAttributes attributes{};
    ASSERT_EQ(cudaPointerGetAttributes(&attributes, memory), cudaSuccess);
    EXPECT_EQ(attributes.type, cudaMemoryTypeHost);
    cudaFreeHost(memory);
}

// Heads farther apart than a 2-D copy of CUDA's can be told.
TEST_F(Pinning, TakesHeadsThatAreGigabytesApart) {
    constexpr std::int64_t long_tokens = 17'000'000;
    constexpr std::array<std::int64_t, 4> long_shape{1, 2, long_tokens, dim};
    constexpr std::size_t bytes = 2 * long_tokens * dim * 2;
    simulated::current().attend_flops_per_second = 1e19;
    std::array<mutable_tensor, 4> arrays; // never touched
    for (mutable_tensor& x : arrays) {
        void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        ASSERT_NE(memory, MAP_FAILED);
        ASSERT_EQ(cudaHostRegister(memory, bytes, cudaHostRegisterPortable), cudaSuccess);
        x = {memory, data_type::bf16, long_shape, bhnd_strides(long_shape)};
    }
    const auto given = [&](std::size_t i) -> tensor {
        return {arrays[i].data, arrays[i].type, arrays[i].shape, arrays[i].strides};
    };
    attend_options options;
    options.workers = worker_set::cuda;
    options.device_bytes = std::int64_t{20} << 30;

    const attend_report report = attend(given(0), given(1), given(2), arrays[3], {}, options);

    EXPECT_EQ(report.measured.d2h_bytes, static_cast<std::int64_t>(bytes));
    for (const mutable_tensor& x : arrays) {
        cudaHostUnregister(x.data);
        munmap(x.data, bytes);
    }
}

TEST_F(Pinning, GivesEverythingBack) {
    std::vector<std::uint16_t> memory(3 * elements);
    run(memory.data(), {0, elements, 2 * elements}, bhnd_strides(shape));
    for (const void* address :
         {static_cast<void*>(memory.data()), static_cast<void*>(memory.data() + 3 * elements - 1),
          static_cast<void*>(out.data() + elements / 2)}) {
        cudaPointerAttributes attributes{};
        ASSERT_EQ(cudaPointerGetAttributes(&attributes, address), cudaSuccess);
        EXPECT_EQ(attributes.type, cudaMemoryTypeUnregistered);
    }
}

} // namespace
} // namespace cqsa::test
