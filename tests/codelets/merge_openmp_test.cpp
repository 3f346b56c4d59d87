// SPDX-License-Identifier: Apache-2.0
#include "codelets/merge/merge.hpp"
#include "codelets/state.hpp"
#include "tests/support/error_norm.hpp"
#include "tests/support/random.hpp"

#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <limits>
#include <vector>

namespace cqsa {
namespace {

constexpr std::int64_t rows = 300;
constexpr std::int64_t d = 37;

/// A state in memory, every seventh row of it empty.
template<class Real>
struct random_state {
    explicit random_state(std::uint64_t seed, double spread) : acc(rows * d), m(rows), l(rows) {
        for (std::int64_t r = 0; r < rows; ++r) {
            const bool empty = test::random_bits(seed, r) % 7 == 0;
            m[r] = empty ? -std::numeric_limits<Real>::infinity()
                         : static_cast<Real>(spread * test::normal(seed, r));
            l[r] = empty ? 0 : static_cast<Real>(1 + test::uniform(seed, r));
            for (std::int64_t e = 0; e < d; ++e) {
                acc[r * d + e] = empty ? 0 : static_cast<Real>(test::normal(seed + 1, r * d + e));
            }
        }
    }
    state_view view() { return {acc.data(), m.data(), l.data()}; }
    std::vector<Real> acc, m, l;
};

std::vector<double> widened(const auto& x) {
    return {x.begin(), x.end()};
}

template<class Real>
merge_task make_task(random_state<Real>& into, random_state<Real>& from) {
    merge_task task;
    task.type = sizeof(Real) == 8 ? data_type::f64 : data_type::bf16;
    task.rows = rows;
    task.head_dim = d;
    task.into = into.view();
    task.from = from.view();
    return task;
}

template<class Real>
class MergeOpenmp : public ::testing::Test {};
using state_types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(MergeOpenmp, state_types);

TYPED_TEST(MergeOpenmp, EqualsTheReference) {
    for (const double spread : {1.0, 30.0, 3000.0}) {
        random_state<TypeParam> from(7, spread);
        random_state<TypeParam> expected(5, spread);
        random_state<TypeParam> into(5, spread);

        reference::merge(make_task(expected, from));
        openmp::merge(make_task(into, from), 3);

        // Two products and a sum of exponentials: four roundings.
        const double limit = 4 * std::numeric_limits<TypeParam>::epsilon();
        EXPECT_LE(test::relative_error(widened(into.acc), widened(expected.acc)), limit);
        EXPECT_LE(test::relative_error(widened(into.l), widened(expected.l)), limit);
        EXPECT_EQ(into.m, expected.m);
    }
}

TYPED_TEST(MergeOpenmp, FreshTargetBecomesACopyWithoutBeingRead) {
    random_state<TypeParam> from(7, 1);
    random_state<TypeParam> into(5, 1);
    std::memset(into.acc.data(), 0xff, into.acc.size() * sizeof(TypeParam));
    std::memset(into.m.data(), 0xff, into.m.size() * sizeof(TypeParam));
    std::memset(into.l.data(), 0xff, into.l.size() * sizeof(TypeParam));
    merge_task task = make_task(into, from);
    task.fresh = true;

    openmp::merge(task, 2);

    EXPECT_EQ(into.acc, from.acc);
    EXPECT_EQ(into.m, from.m);
    EXPECT_EQ(into.l, from.l);
}

TYPED_TEST(MergeOpenmp, NanStaysInItsRow) {
    random_state<TypeParam> from(7, 1);
    random_state<TypeParam> into(5, 1);
    from.m[3] = from.l[3] = into.m[8] = into.l[8] = std::numeric_limits<TypeParam>::quiet_NaN();
    random_state<TypeParam> clean_from(7, 1);
    random_state<TypeParam> clean(5, 1);

    openmp::merge(make_task(clean, clean_from), 1);
    openmp::merge(make_task(into, from), 2);

    for (std::int64_t r = 0; r < rows; ++r) {
        if (r == 3 || r == 8) {
            EXPECT_TRUE(std::isnan(into.l[r]));
        } else {
            EXPECT_EQ(into.l[r], clean.l[r]);
            EXPECT_EQ(into.acc[r * d], clean.acc[r * d]);
        }
    }
}

} // namespace
} // namespace cqsa
