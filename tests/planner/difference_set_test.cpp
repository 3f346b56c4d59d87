// SPDX-License-Identifier: Apache-2.0
#include "planner/cover_search.hpp"
#include "planner/difference_set.hpp"
#include "planner/error.hpp"
#include "planner/galois_field.hpp"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <map>
#include <numeric>
#include <set>

namespace cqsa {
namespace {

using residues = std::vector<std::int64_t>;

/// How often each residue is a difference, by definition.
std::vector<int> differences(std::int64_t c, const residues& set) {
    std::vector<int> count(c, 0);
    for (const auto a : set) {
        for (const auto b : set)
            ++count[((a - b) % c + c) % c];
    }
    return count;
}

/// The least of all sets m·A + t with m invertible, sorted: equal for equivalent difference sets.
residues canonical(std::int64_t c, const residues& set) {
    residues least;
    for (std::int64_t m = 1; m < std::max<std::int64_t>(c, 2); ++m) {
        if (std::gcd(m, c) != 1) continue;
        for (const auto origin : set) {
            residues image;
            for (const auto a : set)
                image.push_back((m * (a - origin) % c + c) % c);
            std::ranges::sort(image);
            if (least.empty() || image < least) least = image;
        }
    }
    return least;
}

TEST(GaloisField, OfEveryPrimePowerToAHundredIsAField) {
    for (std::int64_t q = 2; q <= 100; ++q) {
        if (!as_prime_power(q)) continue;
        const GaloisField field(q);
        for (std::int64_t a = 0; a < q; ++a) {
            ASSERT_EQ(field.add(a, 0), a);
            ASSERT_EQ(field.multiply(a, 1), a);
            std::set<std::int64_t> sums;
            std::set<std::int64_t> products;
            for (std::int64_t b = 0; b < q; ++b) {
                sums.insert(field.add(a, b));
                products.insert(field.multiply(a, b));
                ASSERT_EQ(field.add(a, b), field.add(b, a));
                const std::int64_t x = (3 * a + 5 * b + 1) % q;
                ASSERT_EQ(field.multiply(x, field.add(a, b)),
                          field.add(field.multiply(x, a), field.multiply(x, b)))
                    << "GF(" << q << "), " << x << " (" << a << " + " << b << ")";
            }
            ASSERT_EQ(static_cast<std::int64_t>(sums.size()), q);
            ASSERT_EQ(static_cast<std::int64_t>(products.size()), a == 0 ? 1 : q);
        }
    }
}

TEST(GaloisField, RefusesWhatIsNoPrimePower) {
    for (const std::int64_t q : {-4, 0, 1, 6, 10, 12, 36, 100}) {
        EXPECT_THROW(GaloisField{q}, Error) << q;
    }
}

TEST(DifferenceSet, OfEveryPrimePowerToSixtyFourIsPerfect) {
    int fields = 0;
    for (std::int64_t q = 1; q <= 64; ++q) {
        if (q > 1 && !as_prime_power(q)) continue;
        const std::int64_t c = q * q + q + 1;

        const auto set = difference_set(c);

        ++fields;
        ASSERT_EQ(static_cast<std::int64_t>(set.size()), q + 1) << "c " << c;
        auto count = differences(c, set);
        count.erase(count.begin());
        ASSERT_EQ(std::ranges::count(count, 1), c - 1) << "c " << c;
    }
    EXPECT_EQ(fields, 28); // 1, 18 primes and 9 higher powers
}

TEST(DifferenceSet, CoversWithFewElementsForEveryCountOfChunks) {
    std::vector<std::int64_t> counts;
    for (std::int64_t c = 1; c <= 2'000; ++c)
        counts.push_back(c);
    for (const std::int64_t c : {2'500, 4'160, 4'161, 4'162, 10'000, 65'536, 100'003}) {
        counts.push_back(c);
    }
    for (const std::int64_t c : counts) {
        const auto set = difference_set(c);

        ASSERT_TRUE(std::ranges::is_sorted(set, std::ranges::less_equal{})) << "c " << c;
        ASSERT_EQ(set.front(), 0) << "c " << c;
        ASSERT_LT(set.back(), c);
        const auto count = differences(c, set);
        ASSERT_EQ(std::ranges::count(count, 0), 0) << "c " << c;
        ASSERT_LE(static_cast<double>(set.size()), 1.5 * std::sqrt(static_cast<double>(c)) + 1)
            << "c " << c;
    }
}

TEST(DifferenceSet, OfTheLargestCountIsFoundWithoutASearch) {
    const auto set = difference_set(max_chunks);

    EXPECT_TRUE(is_difference_cover(max_chunks, set));
    EXPECT_LE(set.size(), 1'226U); // 1.2247 · √c + 1
}

TEST(DifferenceSet, IsAsSmallAsTheKnownOptimum) {
    // Minimal sizes of cyclic difference covers: Luk and Wong 1997, table 1.
    std::map<std::int64_t, std::size_t> optimum;
    for (std::int64_t c = 4; c <= 7; ++c)
        optimum[c] = 3;
    for (std::int64_t c = 8; c <= 13; ++c)
        optimum[c] = 4;
    for (std::int64_t c = 14; c <= 21; ++c)
        optimum[c] = 5;
    for (std::int64_t c = 22; c <= 31; ++c)
        optimum[c] = 6;
    optimum[20] = 6;
    optimum[29] = optimum[30] = 7;
    for (const auto& [c, size] : optimum)
        EXPECT_EQ(difference_set(c).size(), size) << "c " << c;
}

TEST(DifferenceSet, IsEquivalentToTheAuthorsTables) {
    const std::map<std::int64_t, residues> tables = {
        {3, {0, 1}},
        {7, {0, 1, 3}},
        {13, {0, 1, 3, 9}},
        {21, {0, 1, 4, 14, 16}},
        {31, {0, 1, 3, 8, 12, 18}},
        {57, {0, 1, 3, 13, 32, 36, 43, 52}},
        {73, {0, 1, 3, 7, 15, 31, 36, 54, 63}},
        {91, {0, 20, 28, 37, 60, 70, 73, 84, 85, 89}},
        {133, {0, 1, 3, 12, 20, 34, 38, 81, 88, 94, 104, 109}},
    };
    for (const auto& [c, table] : tables) {
        EXPECT_EQ(canonical(c, difference_set(c)), canonical(c, table)) << "c " << c;
    }
}

TEST(DifferenceSet, IsTheSameEveryTime) {
    for (const std::int64_t c : {50, 91, 100, 150, 1'000}) {
        EXPECT_EQ(difference_set(c), difference_set(c));
    }
}

TEST(DifferenceSet, RefusesCountsOutOfRange) {
    for (const std::int64_t c : {std::int64_t{-7}, std::int64_t{0}, max_chunks + 1}) {
        EXPECT_THROW(difference_set(c), Error) << c;
    }
}

TEST(IsDifferenceCover, TellsCoversFromOthers) {
    EXPECT_TRUE(is_difference_cover(7, {0, 1, 3}));
    EXPECT_FALSE(is_difference_cover(7, {0, 1, 2}));
    EXPECT_FALSE(is_difference_cover(8, {0, 1, 3}));
    EXPECT_FALSE(is_difference_cover(1, {}));
}

TEST(ShrunkCover, StaysACoverAndNeverGrows) {
    for (std::int64_t c = 4; c <= 80; ++c) {
        const auto start = wichmann_cover(c);

        const auto end = shrunk_cover(c, start, 50'000);

        EXPECT_LE(end.size(), start.size());
        EXPECT_TRUE(is_difference_cover(c, end)) << "c " << c;
    }
}

} // namespace
} // namespace cqsa
