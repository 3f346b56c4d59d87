// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/cuda/check.hpp"
#include "tests/support/blocked_attention.hpp"

#include <cstddef>
#include <cstdint>
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>
#include <span>
#include <vector>

namespace cqsa::test {

/// Device memory that frees itself. It starts as NaN bytes, so that what nobody wrote is found out.
class DeviceBuffer {
  public:
    explicit DeviceBuffer(std::size_t bytes) : bytes_(bytes) {
        cuda::check(cudaMalloc(&data_, bytes + 1), "allocating a test's memory");
        cuda::check(cudaMemset(data_, 0xff, bytes), "poisoning a test's memory");
    }
    explicit DeviceBuffer(std::span<const std::byte> content) : DeviceBuffer(content.size()) {
        cuda::check(cudaMemcpy(data_, content.data(), bytes_, cudaMemcpyHostToDevice),
                    "copying a test's data");
    }
    /// Holds zeros, as attend wants a workspace.
    static DeviceBuffer workspace(std::size_t bytes) {
        DeviceBuffer buffer(bytes);
        cuda::check(cudaMemset(buffer.data_, 0, bytes), "clearing a workspace");
        return buffer;
    }
    DeviceBuffer(const DeviceBuffer&) = delete;
    DeviceBuffer& operator=(const DeviceBuffer&) = delete;
    DeviceBuffer(DeviceBuffer&& other) noexcept : data_(other.data_), bytes_(other.bytes_) {
        other.data_ = nullptr;
    }
    ~DeviceBuffer() { cudaFree(data_); }

    [[nodiscard]] void* data() const { return data_; }
    [[nodiscard]] std::span<std::byte> span() const {
        return {static_cast<std::byte*>(data_), bytes_};
    }
    [[nodiscard]] std::vector<std::byte> content() const {
        std::vector<std::byte> host(bytes_);
        cuda::check(cudaMemcpy(host.data(), data_, bytes_, cudaMemcpyDeviceToHost),
                    "copying a test's result");
        return host;
    }

  private:
    void* data_ = nullptr;
    std::size_t bytes_;
};

/// Runs attend on a stream of its own and waits for it.
inline void run_attend(const attend_task& task) {
    const auto workspace = DeviceBuffer::workspace(cuda::attend_workspace_bytes(task, 0));
    cudaStream_t stream = nullptr;
    cuda::check(cudaStreamCreate(&stream), "creating a stream");
    cuda::attend(task, workspace.span(), stream);
    cuda::check(cudaStreamSynchronize(stream), "attend");
    cuda::check(cudaStreamDestroy(stream), "destroying a stream");
}

/// BlockedAttention whose inputs and states are on the device.
class DeviceAttention {
  public:
    DeviceAttention(const problem& p, double scale, const Tensor& q, const Tensor& k,
                    const Tensor& v, std::vector<std::int64_t> query_lengths,
                    std::vector<std::int64_t> key_lengths)
        : blocks_(p, scale, std::move(query_lengths), std::move(key_lengths)), q_(q.storage()),
          k_(k.storage()), v_(v.storage()) {
        for (std::int64_t i = 0; i < blocks_.query_blocks(); ++i) {
            states_.emplace_back(blocks_.state_bytes(i));
            blocks_.set_state(i, states_.back().data());
        }
        blocks_.bind(q.view(0, q_.data()), k.view(0, k_.data()), v.view(0, v_.data()));
    }

    [[nodiscard]] BlockedAttention& blocks() { return blocks_; }
    [[nodiscard]] const DeviceBuffer& state(std::int64_t i) const { return states_[i]; }

    [[nodiscard]] attention_values result() const {
        std::vector<std::vector<std::byte>> host;
        std::vector<const void*> pointers;
        for (const DeviceBuffer& state : states_) {
            host.push_back(state.content());
            pointers.push_back(host.back().data());
        }
        return blocks_.result(pointers);
    }

  private:
    BlockedAttention blocks_;
    DeviceBuffer q_, k_, v_;
    std::vector<DeviceBuffer> states_;
};

/// What the kernels may differ from the oracle by, norm-wise.
struct tolerances {
    double acc; ///< each weight is rounded to the 16-bit type (its unit roundoff), or all is f32
    double sum; ///< scores, exponentials and sums are f32: some units of 2^-24
};
inline tolerances tolerances_of(data_type type) {
    constexpr double f32 = 1e-6;
    switch (type) {
    case data_type::f16:
        return {0x1p-11, 4 * f32};
    case data_type::bf16:
        return {0x1p-8, 4 * f32};
    default:
        return {f32, f32};
    }
}

inline bool no_gpu() {
    int devices = 0;
    return cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0;
}

/// A test that needs a GPU.
template<class Base = ::testing::Test>
class GpuTest : public Base {
  protected:
    void SetUp() override {
        if (no_gpu()) {
            GTEST_SKIP() << "There is no GPU here; this test runs where one is.";
        }
    }
};

} // namespace cqsa::test
