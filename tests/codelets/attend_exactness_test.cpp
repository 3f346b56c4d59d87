// SPDX-License-Identifier: Apache-2.0
// What attend.hpp promises beyond accuracy: extreme logits, rows that see nothing, NaN, poison,
// resuming, splitting, reproducibility.
#include "codelets/merge/merge.hpp"
#include "planner/error.hpp"
#include "tests/codelets/attend_cases.hpp"
#include "tests/support/special_values.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <limits>
#include <sys/mman.h>
#include <vector>

namespace cqsa {
namespace {

using test::attention_inputs;
using test::attention_values;
using test::BlockedAttention;

using test::infinity;
using test::not_a_number;

class Exactness : public ::testing::TestWithParam<data_type> {};
INSTANTIATE_TEST_SUITE_P(All, Exactness,
                         ::testing::Values(data_type::f16, data_type::bf16, data_type::f32,
                                           data_type::f64),
                         [](const auto& tested) { return std::string(name_of(tested.param)); });

/// The attention of x in one task.
attention_values attend_once(const attention_inputs& x, const test::named_kernel& kernel) {
    BlockedAttention blocks(x.p, x.scale, {x.p.tokens}, {x.p.kv_tokens});
    blocks.bind(x.q.view(), x.k.view(), x.v.view());
    test::run(blocks.task(), kernel);
    return blocks.result();
}

/// Whole numbers and quarters with few bits, so that scores are exact in binary32 though they reach
/// 1e5: what is left is the error of the softmax. Keys come in fours whose scores differ by halves.
attention_inputs extreme_inputs(data_type type) {
    attention_inputs x(test::make_problem(type, mask_rule::causal_top_left, 300, 700, 65));
    const auto whole = [](std::uint64_t seed, std::int64_t i) {
        return std::floor(31 * test::uniform(seed, static_cast<std::uint64_t>(i))) - 15;
    };
    for (std::int64_t t = 0; t < 700; ++t) {
        for (std::int64_t e = 0; e < 64; ++e) {
            if (t < 300) {
                x.q.set(0, 0, t, e, whole(1, t * 64 + e));
            }
            x.k.set(0, 0, t, e, whole(2, t / 4 * 64 + e));
        }
        if (t < 300) {
            x.q.set(0, 0, t, 64, 1);
        }
        x.k.set(0, 0, t, 64, static_cast<double>(t % 4) / 64);
    }
    x.scale = 32;
    return x;
}

TEST_P(Exactness, LogitsOfAHundredThousandLoseNothing) {
    const attention_inputs x = extreme_inputs(GetParam());
    const auto expected = x.oracle();
    const test::tolerance limit(GetParam());
    ASSERT_GT(*std::ranges::max_element(expected.m), 7e4);
    for (const auto& kernel : test::kernels_of(GetParam())) {
        const attention_values result = attend_once(x, kernel);

        // Scores below the row's maximum by 20 still count: 20 roundings of log2 e, 6e-8 each.
        EXPECT_LE(test::relative_error(result.o, expected.o), limit.o + 20 * 6e-8) << kernel.name;
        EXPECT_LE(test::max_scaled_error(result.lse, expected.lse), limit.lse) << kernel.name;
    }
}

/// Each part's state names its maximum in the state's type, so the parts' weights relative to each
/// other are uncertain by a few roundings of a number as large as the logits.
TEST_P(Exactness, HugeLogitsMergeAsWellAsTheirRoundingAllows) {
    const attention_inputs x = extreme_inputs(GetParam());
    const auto expected = x.oracle();
    const double unit = GetParam() == data_type::f64 ? 0x1p-53 : 0x1p-24;
    const double highest = *std::ranges::max_element(expected.m);
    for (const auto& kernel : test::kernels_of(GetParam())) {
        BlockedAttention first(x.p, x.scale, {300}, {350, 350});
        BlockedAttention second(x.p, x.scale, {300}, {350, 350});
        first.bind(x.q.view(), x.k.view(), x.v.view());
        second.bind(x.q.view(), x.k.view(), x.v.view());

        test::run(first.task({0}, {1}), kernel);
        test::run(second.task({0}, {0}), kernel);
        merge_task merge;
        merge.type = x.p.type;
        merge.rows = 300;
        merge.head_dim = 65;
        merge.into = state_layout(x.p, 300).view(first.state(0));
        merge.from = state_layout(x.p, 300).view(second.state(0));
        openmp::merge(merge, 2);

        const attention_values result = first.result();
        const test::tolerance limit(GetParam());
        EXPECT_LE(test::relative_error(result.o, expected.o), limit.o + 4 * unit * highest)
            << kernel.name;
        EXPECT_LE(test::max_scaled_error(result.lse, expected.lse), limit.lse) << kernel.name;
    }
}

TEST_P(Exactness, OneHugeKeyTakesAll) {
    attention_inputs x(test::make_problem(GetParam(), mask_rule::none, 40, 300, 16));
    for (std::int64_t e = 0; e < 16; ++e) {
        for (std::int64_t t = 0; t < 40; ++t) {
            x.q.set(0, 0, t, e, 16);
        }
        x.k.set(0, 0, 200, e, 256);
    }
    for (const auto& kernel : test::kernels_of(GetParam())) {
        const attention_values result = attend_once(x, kernel);

        for (std::int64_t t = 0; t < 40; ++t) {
            const double expected = x.v.get(0, 0, 200, 3);
            EXPECT_NEAR(result.o[t * 16 + 3], expected,
                        test::tolerance(GetParam()).o * std::abs(expected))
                << kernel.name;
            EXPECT_EQ(result.m[t], 16 * 16 * 256 * x.scale) << kernel.name;
        }
    }
}

TEST_P(Exactness, RowsThatSeeNoKeyKeepTheirState) {
    const attention_inputs x(
        test::make_problem(GetParam(), mask_rule::causal_bottom_right, 200, 120, 20));
    for (const auto& kernel : test::kernels_of(GetParam())) {
        BlockedAttention blocks(x.p, x.scale, {200}, {120});
        blocks.bind(x.q.view(), x.k.view(), x.v.view());

        attend_task task = blocks.task();
        test::run(task, kernel); // rows 0..79 see nothing: fresh, they become empty
        const attention_values empty = blocks.result();
        const state_view state = task.queries[0].state;
        write_element(state_type(x.p.type), state.m, 5, 3.25);
        write_element(state_type(x.p.type), state.l, 5, 1.5);
        write_element(state_type(x.p.type), state.acc, 5 * 20 + 1, -0.1F);
        test::run(blocks.task(), kernel);
        const attention_values kept = blocks.result();

        EXPECT_EQ(empty.m[79], -infinity) << kernel.name;
        EXPECT_EQ(empty.l[79], 0) << kernel.name;
        EXPECT_EQ(empty.acc[79 * 20], 0) << kernel.name;
        EXPECT_GT(empty.l[80], 0) << kernel.name;
        EXPECT_EQ(kept.m[5], 3.25) << kernel.name;
        EXPECT_EQ(kept.l[5], 1.5) << kernel.name;
        EXPECT_EQ(kept.acc[5 * 20 + 1], static_cast<double>(-0.1F)) << kernel.name;
    }
}

TEST_P(Exactness, FreshBlocksWithoutKeysBecomeEmpty) {
    const attention_inputs x(test::make_problem(GetParam(), mask_rule::causal_top_left, 64, 64, 8));
    for (const auto& kernel : test::kernels_of(GetParam())) {
        BlockedAttention no_pair(x.p, x.scale, {32, 32}, {32, 32});
        no_pair.bind(x.q.view(), x.k.view(), x.v.view());
        BlockedAttention no_block(x.p, x.scale, {64}, {64});
        no_block.bind(x.q.view(), x.k.view(), x.v.view());

        test::run(no_pair.task({0}, {1}), kernel);
        test::run(no_block.task({0}, {}), kernel);

        EXPECT_EQ(no_pair.result().m[31], -infinity) << kernel.name;
        EXPECT_EQ(no_block.result().l[63], 0) << kernel.name;
        EXPECT_EQ(no_block.result().acc[63 * 8 + 7], 0) << kernel.name;
    }
}

TEST_P(Exactness, MinusInfiniteScoresWeighNothing) {
    attention_inputs x(test::make_problem(GetParam(), mask_rule::none, 20, 100, 4));
    for (std::int64_t t = 0; t < 100; t += 3) {
        x.k.set(0, 0, t, 2, -infinity);
    }
    for (std::int64_t r = 0; r < 20; ++r) {
        x.q.set(0, 0, r, 2, 1);
    }
    const auto expected = x.oracle();
    for (const auto& kernel : test::kernels_of(GetParam())) {
        EXPECT_EQ(test::difference(attend_once(x, kernel), expected, test::tolerance(GetParam())),
                  "")
            << kernel.name;
    }
}

TEST_P(Exactness, NanInAQueryStaysInItsRow) {
    const attention_inputs clean(
        test::make_problem(GetParam(), mask_rule::causal_top_left, 150, 150, 24));
    attention_inputs dirty = clean;
    dirty.q.set(0, 0, 70, 11, not_a_number);
    for (const auto& kernel : test::kernels_of(GetParam())) {
        const attention_values expected = attend_once(clean, kernel);
        const attention_values result = attend_once(dirty, kernel);

        for (std::int64_t r = 0; r < 150; ++r) {
            for (std::int64_t e = 0; e < 24; ++e) {
                if (r == 70) {
                    ASSERT_TRUE(std::isnan(result.o[r * 24 + e])) << kernel.name;
                } else {
                    ASSERT_EQ(result.o[r * 24 + e], expected.o[r * 24 + e]) << kernel.name << r;
                }
            }
            ASSERT_EQ(std::isnan(result.lse[r]), r == 70) << kernel.name;
        }
    }
}

/// Keys 100 and 101 are seen by rows from 100 on; a tile has at most 64 rows.
TEST_P(Exactness, NanInAKeyOrValueReachesOnlyRowsThatSeeIt) {
    const attention_inputs clean(
        test::make_problem(GetParam(), mask_rule::causal_top_left, 300, 300, 24));
    for (const bool in_key : {true, false}) {
        attention_inputs dirty = clean;
        (in_key ? dirty.k : dirty.v).set(0, 0, 100, 11, not_a_number);
        for (const auto& kernel : test::kernels_of(GetParam())) {
            const attention_values expected = attend_once(clean, kernel);
            const attention_values result = attend_once(dirty, kernel);

            for (std::int64_t r = 0; r < 300; ++r) {
                const double o = result.o[r * 24 + 11];
                if (r >= 100) {
                    ASSERT_TRUE(std::isnan(o)) << kernel.name << " row " << r;
                } else if (in_key || r <= 100 - 64) {
                    ASSERT_EQ(o, expected.o[r * 24 + 11]) << kernel.name << " row " << r;
                }
            }
        }
    }
}

TEST_P(Exactness, NanWithAnyPayloadStaysNan) {
    attention_inputs x(test::make_problem(GetParam(), mask_rule::none, 20, 40, 8));
    const auto bytes = static_cast<std::size_t>(bytes_of(GetParam()));
    std::memset(const_cast<void*>(x.q.view(7).data), 0xff, bytes);
    for (const auto& kernel : test::kernels_of(GetParam())) {
        const attention_values result = attend_once(x, kernel);

        EXPECT_TRUE(std::isnan(result.o[7 * 8])) << kernel.name;
        EXPECT_TRUE(std::isnan(result.lse[7])) << kernel.name;
        EXPECT_FALSE(std::isnan(result.o[6 * 8])) << kernel.name;
    }
}

/// Past the blocks, the tensors hold NaN; so do the gaps of the packed layout and the workspace.
TEST_P(Exactness, NothingPastABlockIsRead) {
    for (const std::int64_t n : {1, 31, 33, 64, 70, 257}) {
        const problem p = test::make_problem(GetParam(), mask_rule::none, n, n, 19);
        const attention_inputs inner(p, test::layout::packed);
        problem larger = p;
        larger.tokens = larger.kv_tokens = n + 300;
        attention_inputs x(larger, test::layout::packed);
        for (std::int64_t t = 0; t < n + 300; ++t) {
            for (std::int64_t e = 0; e < 19; ++e) {
                x.q.set(0, 0, t, e, t < n ? inner.q.get(0, 0, t, e) : not_a_number);
                x.k.set(0, 0, t, e, t < n ? inner.k.get(0, 0, t, e) : not_a_number);
                x.v.set(0, 0, t, e, t < n ? inner.v.get(0, 0, t, e) : not_a_number);
            }
        }
        for (const auto& kernel : test::kernels_of(GetParam())) {
            BlockedAttention blocks(p, x.scale, {n}, {n});
            blocks.bind(x.q.view(), x.k.view(), x.v.view());

            test::run(blocks.task(), kernel);

            EXPECT_EQ(
                test::difference(blocks.result(), inner.oracle(), test::tolerance(GetParam())), "")
                << kernel.name << " n " << n;
        }
    }
}

TEST_P(Exactness, ResumingEqualsOneTaskBitForBit) {
    const attention_inputs x(
        test::make_problem(GetParam(), mask_rule::causal_top_left, 260, 700, 40));
    for (const auto& kernel : test::kernels_of(GetParam())) {
        BlockedAttention once(x.p, x.scale, {260}, {300, 257, 1, 142});
        BlockedAttention resumed(x.p, x.scale, {260}, {300, 257, 1, 142});
        once.bind(x.q.view(), x.k.view(), x.v.view());
        resumed.bind(x.q.view(), x.k.view(), x.v.view());

        test::run(once.task(), kernel);
        for (const std::int64_t j : {0, 1, 2, 3}) {
            test::run(resumed.task({0}, {j}), kernel);
        }

        EXPECT_EQ(std::memcmp(once.state(0), resumed.state(0), once.state_bytes(0)), 0)
            << kernel.name;
    }
}

TEST_P(Exactness, SplittingAndMergingEqualsTheWhole) {
    const attention_inputs x(test::make_problem(GetParam(), mask_rule::none, 130, 700, 40));
    const auto expected = x.oracle();
    for (const auto& kernel : test::kernels_of(GetParam())) {
        BlockedAttention first(x.p, x.scale, {130}, {300, 257, 143});
        BlockedAttention second(x.p, x.scale, {130}, {300, 257, 143});
        first.bind(x.q.view(), x.k.view(), x.v.view());
        second.bind(x.q.view(), x.k.view(), x.v.view());

        test::run(first.task({0}, {0, 2}), kernel);
        test::run(second.task({0}, {1}), kernel);
        merge_task merge;
        merge.type = x.p.type;
        merge.rows = 130;
        merge.head_dim = 40;
        merge.into = state_layout(x.p, 130).view(first.state(0));
        merge.from = state_layout(x.p, 130).view(second.state(0));
        openmp::merge(merge, 2);

        EXPECT_EQ(test::difference(first.result(), expected, test::tolerance(GetParam())), "")
            << kernel.name;
    }
}

TEST_P(Exactness, ThreadsDoNotChangeABit) {
    problem p = test::make_problem(GetParam(), mask_rule::causal_top_left, 700, 700, 40);
    p.heads = 2;
    const attention_inputs x(p);
    for (const auto& kernel : test::kernels_of(GetParam())) {
        BlockedAttention one(x.p, x.scale, {300, 400}, {257, 443});
        one.bind(x.q.view(), x.k.view(), x.v.view());
        test::run(one.task(), kernel, 1);
        for (const int threads : {2, 3, 7, 16}) {
            BlockedAttention many(x.p, x.scale, {300, 400}, {257, 443});
            many.bind(x.q.view(), x.k.view(), x.v.view());

            test::run(many.task(), kernel, threads);

            for (const std::int64_t i : {0, 1}) {
                EXPECT_EQ(std::memcmp(one.state(i), many.state(i), one.state_bytes(i)), 0)
                    << kernel.name << " with " << threads << " threads";
            }
        }
    }
}

TEST(AttendWorkspace, TooSmallIsAnError) {
    const attention_inputs x(test::make_problem(data_type::f32, mask_rule::none, 10, 10, 4));
    BlockedAttention blocks(x.p, x.scale, {10}, {10});
    blocks.bind(x.q.view(), x.k.view(), x.v.view());
    const attend_task task = blocks.task();
    test::Workspace workspace(openmp::attend_workspace_bytes(task, 2) - 1);

    EXPECT_THROW(openmp::attend(task, workspace.span(), 2), Error);
}

TEST(AttendStrides, MayExceedTwoToTheThirtyOneElements) {
    constexpr std::int64_t n = 130;
    constexpr std::int64_t stride = std::int64_t{1}
                                    << 25; // 130 tokens: 2^32 elements, mostly holes
    const auto bytes = static_cast<std::size_t>(n * stride) * sizeof(float);
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        GTEST_SKIP() << "no 17 GB of address space";
    }
    const attention_inputs x(test::make_problem(data_type::f32, mask_rule::none, n, n, 8));
    for (std::int64_t t = 0; t < n; ++t) {
        for (std::int64_t e = 0; e < 8; ++e) {
            float* row = static_cast<float*>(memory) + t * stride;
            row[e] = static_cast<float>(x.q.get(0, 0, t, e));
            row[8 + e] = static_cast<float>(x.k.get(0, 0, t, e));
            row[16 + e] = static_cast<float>(x.v.get(0, 0, t, e));
        }
    }
    const auto view = [&](int slice) {
        return tensor_view{static_cast<float*>(memory) + std::int64_t{8} * slice, n * stride,
                           n * stride, stride};
    };
    for (const auto& kernel : test::kernels_of(data_type::f32)) {
        BlockedAttention blocks(x.p, x.scale, {100, 30}, {70, 60});
        blocks.bind(view(0), view(1), view(2));

        test::run(blocks.task(), kernel);

        EXPECT_EQ(test::difference(blocks.result(), x.oracle(), test::tolerance(data_type::f32)),
                  "")
            << kernel.name;
    }
    munmap(memory, bytes);
}

} // namespace
} // namespace cqsa
