// SPDX-License-Identifier: Apache-2.0
#include "codelets/finalize/finalize.hpp"
#include "tests/cuda/device.hpp"
#include "tests/support/error_norm.hpp"
#include "tests/support/random.hpp"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <vector>

namespace cqsa {
namespace {

class FinalizeCuda
    : public test::GpuTest<
          ::testing::TestWithParam<std::tuple<data_type, data_type, std::int64_t, test::layout>>> {
};

TEST_P(FinalizeCuda, EqualsTheReference) {
    const auto [type, out_type, head_dim, order] = GetParam();
    problem p;
    p.batch = 2;
    p.heads = 3;
    p.head_dim = head_dim;
    p.type = type;
    constexpr std::int64_t tokens = 67;
    const std::int64_t rows = p.batch * p.heads * tokens;
    const state_layout layout(p, tokens);
    std::vector<std::byte> state(layout.bytes());
    const state_view s = layout.view(state.data());
    const data_type stored = state_type(type);
    for (std::int64_t r = 0; r < rows; ++r) {
        const bool empty = r % 7 == 0;
        write_element(stored, s.m, r, empty ? -INFINITY : 100 * test::normal(1, r));
        write_element(stored, s.l, r, empty ? 0 : 1 + 50 * test::uniform(2, r));
        for (std::int64_t c = 0; c < head_dim; ++c) {
            write_element(stored, s.acc, r * head_dim + c,
                          empty ? 0 : test::normal(3, r * head_dim + c));
        }
    }
    test::Tensor expected(out_type, p.batch, p.heads, tokens, head_dim, order);
    test::Tensor out(out_type, p.batch, p.heads, tokens, head_dim, order);
    std::vector<std::byte> expected_lse(rows * bytes_of(stored));
    const test::DeviceBuffer device_state(state);
    const test::DeviceBuffer device_out(out.storage());
    const test::DeviceBuffer device_lse(expected_lse.size());
    const auto task = [&, out_type = out_type](void* memory, mutable_tensor_view to, void* lse,
                                               bool fresh) {
        return finalize_task{.type = p.type,
                             .out_type = out_type,
                             .batch = p.batch,
                             .heads = p.heads,
                             .tokens = tokens,
                             .head_dim = p.head_dim,
                             .state = layout.view(memory),
                             .fresh = fresh,
                             .out = to,
                             .lse = {lse, p.heads * tokens, tokens, 1}};
    };
    for (const bool fresh : {false, true}) {
        reference::finalize(
            task(state.data(), expected.mutable_view(), expected_lse.data(), fresh));
        cuda::finalize(task(device_state.data(), out.mutable_view(0, device_out.data()),
                            device_lse.data(), fresh),
                       nullptr);

        const auto content = device_out.content();
        std::ranges::copy(content, out.storage().begin());
        // One rounding in the state's type before the one to out_type may turn a tie.
        const double tolerance = out_type == data_type::f16    ? 0x1p-11
                                 : out_type == data_type::bf16 ? 0x1p-8
                                                               : 1e-6;
        EXPECT_LE(test::relative_error(out.values(), expected.values()), tolerance);
        const auto lse = device_lse.content();
        for (std::int64_t r = 0; r < rows; ++r) {
            const double x = read_element(stored, lse.data(), r);
            const double y = read_element(stored, expected_lse.data(), r);
            // m and ln l may cancel: the error is relative to them, not to their sum.
            EXPECT_TRUE(x == y || std::abs(x - y) <= 1e-6 * std::max(1.0, std::abs(y)))
                << x << " " << y;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(
    All, FinalizeCuda,
    ::testing::Combine(::testing::Values(data_type::f16, data_type::f32),
                       ::testing::Values(data_type::f16, data_type::bf16, data_type::f32),
                       ::testing::Values(20, 33, 64, 128, 256),
                       ::testing::Values(test::layout::bhnd, test::layout::packed)));

} // namespace
} // namespace cqsa
