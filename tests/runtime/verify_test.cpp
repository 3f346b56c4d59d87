// SPDX-License-Identifier: Apache-2.0
#include "tests/runtime/attention_case.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace cqsa::test {
namespace {

const problem size{.batch = 2,
                   .heads = 4,
                   .kv_heads = 2,
                   .tokens = 150,
                   .kv_tokens = 170,
                   .head_dim = 16,
                   .mask = mask_rule::causal_bottom_right};

// A case whose outputs are the oracle's, rounded.
attention_case solved() {
    attention_case given(size);
    const attention_values exact = given.exact();
    std::size_t i = 0;
    for (std::int64_t b = 0; b < size.batch; ++b) {
        for (std::int64_t h = 0; h < size.heads; ++h) {
            for (std::int64_t t = 0; t < size.tokens; ++t) {
                given.lse.set(b, h, t, 0, exact.lse[i / static_cast<std::size_t>(size.head_dim)]);
                for (std::int64_t d = 0; d < size.head_dim; ++d)
                    given.out.set(b, h, t, d, exact.o[i++]);
            }
        }
    }
    return given;
}

verification verify(const attention_case& given, std::int64_t rows, std::uint64_t seed = 0) {
    return cqsa::verify(tensor_of(given.q), tensor_of(given.k), tensor_of(given.v),
                        tensor_of(given.out), tensor_of(given.lse), {.mask = given.size.mask}, rows,
                        seed);
}

TEST(Verify, FindsOnlyTheRoundingOfACorrectResult) {
    const verification result = verify(solved(), 100);

    EXPECT_EQ(result.rows, 100);
    EXPECT_LE(result.rel_error, 1e-7);
    EXPECT_LE(result.max_abs_error, 1e-6);
    EXPECT_LE(result.lse_max_abs_error, 1e-6);
    EXPECT_GT(result.rel_error, 0);
}

TEST(Verify, ChecksEveryRowWhenAskedForAsManyAsThereAre) {
    attention_case given = solved();
    given.out.set(1, 3, 149, 15, given.out.get(1, 3, 149, 15) + 0.5);

    const verification result = verify(given, size.batch * size.heads * size.tokens);

    EXPECT_EQ(result.rows, 1200);
    EXPECT_NEAR(result.max_abs_error, 0.5, 1e-6);
}

TEST(Verify, FindsAWrongLse) {
    attention_case given = solved();
    given.lse.set(0, 0, 7, 0, given.lse.get(0, 0, 7, 0) - 0.25);

    EXPECT_NEAR(verify(given, 1200).lse_max_abs_error, 0.25, 1e-5);
}

TEST(Verify, CountsANanAsInfinitelyWrong) {
    attention_case given = solved();
    given.out.set(1, 0, 0, 0, NAN);

    const verification result = verify(given, 1200);

    EXPECT_TRUE(std::isinf(result.max_abs_error));
    EXPECT_TRUE(std::isinf(result.rel_error));
}

TEST(Verify, SamplesTheSameRowsForTheSameSeed) {
    attention_case given = solved();
    for (std::int64_t t = 0; t < size.tokens; ++t)
        given.out.set(0, 1, t, 0, static_cast<double>(t));

    EXPECT_EQ(verify(given, 20, 5).max_abs_error, verify(given, 20, 5).max_abs_error);
    EXPECT_NE(verify(given, 20, 5).max_abs_error, verify(given, 20, 6).max_abs_error);
}

} // namespace
} // namespace cqsa::test
