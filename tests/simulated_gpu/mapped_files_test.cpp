// SPDX-License-Identifier: Apache-2.0
// Operands that map files, as the tool's do: they are not page-locked, and CUDA never sees them.
#include "runtime/attend.hpp"
#include "tests/runtime/attention_case.hpp"
#include "tests/simulated_gpu/simulated_gpu.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

namespace cqsa::test {
namespace {

/// A mapped file with the content of a tensor, and the library's view of it.
class MappedTensor {
  public:
    explicit MappedTensor(Tensor& x) : x_(x), bytes_(x.storage().size()) {
        std::string name = ::testing::TempDir() + "cqsa-mapped-XXXXXX";
        const int file = mkstemp(name.data());
        EXPECT_GE(file, 0);
        unlink(name.c_str());
        EXPECT_EQ(ftruncate(file, static_cast<off_t>(bytes_)), 0);
        memory_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        EXPECT_NE(memory_, MAP_FAILED);
        close(file);
        std::memcpy(memory_, x.storage().data(), bytes_);
    }
    ~MappedTensor() { munmap(memory_, bytes_); }
    MappedTensor(const MappedTensor&) = delete;
    MappedTensor& operator=(const MappedTensor&) = delete;

    [[nodiscard]] mutable_tensor view() {
        mutable_tensor view = mutable_tensor_of(x_);
        view.data = x_.mutable_view(0, memory_).data;
        return view;
    }
    [[nodiscard]] tensor read_only() {
        const mutable_tensor x = view();
        return {x.data, x.type, x.shape, x.strides};
    }
    [[nodiscard]] bool holds_the_tensor() const {
        return std::memcmp(memory_, x_.storage().data(), bytes_) == 0;
    }

  private:
    Tensor& x_;
    std::size_t bytes_;
    void* memory_ = nullptr;
};

class MappedFiles : public ::testing::TestWithParam<layout> {};

TEST_P(MappedFiles, GiveTheSameBitsThroughPageLockedMemory) {
    problem p{.batch = 2, .heads = 4, .kv_heads = 2, .tokens = 1500, .kv_tokens = 1500};
    p.type = p.out_type = data_type::f16;
    p.head_dim = 64;
    p.mask = mask_rule::causal_top_left;
    attend_options options;
    options.workers = worker_set::cuda;
    options.device_bytes = std::int64_t{7} << 20;
    options.mask = p.mask;
    attention_case x(p, GetParam());
    MappedTensor q(x.q);
    MappedTensor k(x.k);
    MappedTensor v(x.v);
    MappedTensor out(x.out);
    MappedTensor lse(x.lse);
    x.run(options);

    const std::int64_t before = simulated::copied_bytes().pageable_bytes;
    attend(q.read_only(), k.read_only(), v.read_only(), out.view(), lse.view(), options);
    EXPECT_EQ(simulated::copied_bytes().pageable_bytes, before);
    EXPECT_TRUE(out.holds_the_tensor());
    EXPECT_TRUE(lse.holds_the_tensor());
}

INSTANTIATE_TEST_SUITE_P(SimulatedGpu, MappedFiles,
                         ::testing::Values(layout::bhnd, layout::bnhd, layout::packed),
                         [](const auto& tested) {
                             return std::string(tested.param == layout::bhnd   ? "bhnd"
                                                : tested.param == layout::bnhd ? "bnhd"
                                                                               : "packed");
                         });

} // namespace
} // namespace cqsa::test
