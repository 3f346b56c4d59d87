// SPDX-License-Identifier: Apache-2.0
#include "codelets/merge/merge.hpp"
#include "tests/cuda/device.hpp"
#include "tests/support/error_norm.hpp"
#include "tests/support/random.hpp"

#include <cmath>
#include <limits>
#include <tuple>
#include <vector>

namespace cqsa {
namespace {

class MergeCuda
    : public test::GpuTest<::testing::TestWithParam<std::tuple<data_type, std::int64_t>>> {
  protected:
    void SetUp() override {
        test::GpuTest<::testing::TestWithParam<std::tuple<data_type, std::int64_t>>>::SetUp();
        std::tie(p.type, p.head_dim) = GetParam();
    }
    /// A state of `rows` rows: some empty, one with NaN, maxima from -1e5 to 1e5.
    std::vector<std::byte> make_state(std::uint64_t seed) const {
        std::vector<std::byte> buffer(layout().bytes());
        const state_view s = layout().view(buffer.data());
        const data_type type = state_type(p.type);
        for (std::int64_t r = 0; r < rows; ++r) {
            const bool empty = r % 5 == static_cast<std::int64_t>(seed % 5);
            const double m = r % 3 == 0 ? 1e5 * test::normal(seed, r) : test::normal(seed, r);
            write_element(type, s.m, r, empty ? -INFINITY : m);
            write_element(type, s.l, r, empty ? 0 : 1 + test::uniform(seed + 9, r));
            for (std::int64_t c = 0; c < p.head_dim; ++c) {
                write_element(type, s.acc, r * p.head_dim + c,
                              empty ? 0 : test::normal(seed + 3, r * p.head_dim + c));
            }
        }
        if (seed == 1) {
            write_element(type, s.l, 7, NAN);
            write_element(type, s.acc, 7 * p.head_dim, NAN);
        }
        return buffer;
    }
    state_layout layout() const { return {p, rows}; }
    merge_task task(void* into, void* from, bool fresh) const {
        return {.type = p.type,
                .rows = rows,
                .head_dim = p.head_dim,
                .into = layout().view(into),
                .from = layout().view(from),
                .fresh = fresh};
    }
    std::vector<double> values(std::vector<std::byte> buffer) const {
        const state_view s = layout().view(buffer.data());
        const data_type type = state_type(p.type);
        std::vector<double> all;
        all.reserve(rows * p.head_dim);
        for (std::int64_t i = 0; i < rows * p.head_dim; ++i) {
            all.push_back(read_element(type, s.acc, i));
        }
        for (std::int64_t i = 0; i < rows; ++i) {
            all.push_back(read_element(type, s.m, i));
            all.push_back(read_element(type, s.l, i));
        }
        return all;
    }

    static constexpr std::int64_t rows = 1003;
    problem p;
};

TEST_P(MergeCuda, EqualsTheReference) {
    auto into = make_state(1);
    auto from = make_state(2);
    const test::DeviceBuffer device_into(into);
    const test::DeviceBuffer device_from(from);

    cuda::merge(task(device_into.data(), device_from.data(), false), nullptr);
    reference::merge(task(into.data(), from.data(), false));

    const double tolerance = state_type(p.type) == data_type::f64 ? 1e-14 : 1e-6;
    EXPECT_LE(test::max_scaled_error(values(device_into.content()), values(into)), tolerance);
}

TEST_P(MergeCuda, IntoAFreshStateCopies) {
    const auto from = make_state(1);
    const test::DeviceBuffer device_into(from.size());
    const test::DeviceBuffer device_from(from);

    cuda::merge(task(device_into.data(), device_from.data(), true), nullptr);

    EXPECT_EQ(test::max_scaled_error(values(device_into.content()), values(from)), 0);
}

INSTANTIATE_TEST_SUITE_P(All, MergeCuda,
                         ::testing::Combine(::testing::Values(data_type::bf16, data_type::f64),
                                            ::testing::Values(1, 20, 50, 64, 96, 128, 200, 256)));

} // namespace
} // namespace cqsa
