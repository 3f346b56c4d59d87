// SPDX-License-Identifier: Apache-2.0
// The bound of --verify must let every correct fp32 computation pass and catch small mistakes.
#include "runtime/tool/error_bound.hpp"

#include "codelets/element.hpp"
#include "runtime/files/array_file.hpp"
#include "runtime/files/random_array.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <ostream>
#include <vector>

namespace cqsa::tool {
namespace {

struct sample {
    double scale;
    data_type type;
    std::int64_t head_dim;
    std::int64_t keys;
};

std::ostream& operator<<(std::ostream& out, const sample& value) {
    return out << name_of(value.type) << " scale " << value.scale << " head_dim " << value.head_dim
               << " keys " << value.keys;
}

struct rows {
    std::vector<double> out;
    std::vector<double> lse;
};

/// Attention of `queries` rows; T is the type in which everything is computed, key by key with the
/// online-softmax recurrence. Keys from `keys` on are left out; weights are rounded to
/// `weight_type` before they meet v.
template<class T>
rows attend_rows(const sample& s, const std::vector<double>& q, const std::vector<double>& k,
                 const std::vector<double>& v, std::int64_t keys, data_type weight_type) {
    const std::int64_t d = s.head_dim;
    const auto queries = static_cast<std::int64_t>(q.size()) / d;
    rows result;
    for (std::int64_t r = 0; r < queries; ++r) {
        std::vector<T> acc(static_cast<std::size_t>(d), T{0});
        T m = -std::numeric_limits<T>::infinity();
        T l = 0;
        for (std::int64_t j = 0; j < keys; ++j) {
            T score = 0;
            for (std::int64_t x = 0; x < d; ++x)
                score += static_cast<T>(q[r * d + x]) * static_cast<T>(k[j * d + x]);
            score *= static_cast<T>(s.scale);
            const T next = std::max(m, score);
            const T keep = std::exp(m - next);
            const T weight = std::exp(score - next);
            const T rounded = with_element(weight_type, [&](auto tag) {
                return static_cast<T>(
                    to_double(from_double<decltype(tag)>(static_cast<double>(weight))));
            });
            for (std::int64_t x = 0; x < d; ++x)
                acc[x] = acc[x] * keep + rounded * static_cast<T>(v[j * d + x]);
            l = l * keep + weight;
            m = next;
        }
        for (const T value : acc)
            result.out.push_back(static_cast<double>(value / l));
        result.lse.push_back(static_cast<double>(m + std::log(l)));
    }
    return result;
}

struct errors {
    double rel = 0;
    double lse = 0;
};

errors compare(const rows& came, const rows& exact) {
    double error = 0;
    double norm = 0;
    errors out;
    for (std::size_t i = 0; i < exact.out.size(); ++i) {
        error += (came.out[i] - exact.out[i]) * (came.out[i] - exact.out[i]);
        norm += exact.out[i] * exact.out[i];
    }
    for (std::size_t i = 0; i < exact.lse.size(); ++i)
        out.lse = std::max(out.lse, std::abs(came.lse[i] - exact.lse[i]));
    out.rel = std::sqrt(error / norm);
    return out;
}

class ErrorBound : public ::testing::TestWithParam<sample> {
  protected:
    static constexpr std::int64_t queries = 8;

    std::vector<double> made(std::int64_t tokens, std::uint64_t stream, std::vector<char>& memory,
                             tensor& view) const {
        const sample s = GetParam();
        const std::array<std::int64_t, 4> shape{1, 1, tokens, s.head_dim};
        const std::int64_t count = tokens * s.head_dim;
        memory.resize(static_cast<std::size_t>(count * bytes_of(s.type)));
        files::fill_normal(memory.data(), s.type, count, 1, stream);
        view = {memory.data(), s.type, shape,
                files::tensor_strides(shape, files::axis_order::bhnd)};
        std::vector<double> out;
        out.reserve(static_cast<std::size_t>(count));
        for (std::int64_t i = 0; i < count; ++i)
            out.push_back(read_element(s.type, memory.data(), i));
        return out;
    }

    void SetUp() override {
        const sample s = GetParam();
        tensor q_view;
        tensor k_view;
        tensor v_view;
        q_rows = made(queries, 0, storage[0], q_view);
        k_rows = made(s.keys, 1, storage[1], k_view);
        v_rows = made(s.keys, 2, storage[2], v_view);
        exact = attend_rows<double>(s, q_rows, k_rows, v_rows, s.keys, data_type::f64);
        const problem problem{.tokens = queries,
                              .kv_tokens = s.keys,
                              .head_dim = s.head_dim,
                              .type = s.type,
                              .out_type = s.type};
        bound = bound_for(problem, largest_score(q_view, k_view, s.scale));
    }

    std::array<std::vector<char>, 3> storage;
    std::vector<double> q_rows, k_rows, v_rows;
    rows exact;
    error_bound bound;
};

TEST_P(ErrorBound, lets_a_plain_computation_pass) {
    const sample s = GetParam();
    rows came = attend_rows<float>(s, q_rows, k_rows, v_rows, s.keys, s.type);
    for (double& x : came.out)
        x = with_element(s.type,
                         [&](auto tag) { return to_double(from_double<decltype(tag)>(x)); });

    const errors errors = compare(came, exact);

    EXPECT_LE(errors.rel, bound.rel_error);
    EXPECT_LE(errors.lse, bound.lse_abs_error);
}

/// Where no key has so much weight that another could be lost unseen.
class LostKey : public ErrorBound {};

TEST_P(LostKey, is_caught) {
    const sample s = GetParam();

    const errors errors =
        compare(attend_rows<double>(s, q_rows, k_rows, v_rows, s.keys - 1, data_type::f64), exact);

    EXPECT_TRUE(errors.rel > bound.rel_error || errors.lse > bound.lse_abs_error)
        << errors.rel << " " << errors.lse;
}

constexpr sample usual[] = {{0.125, data_type::f32, 64, 4096},
                            {0.125, data_type::f16, 64, 4096},
                            {0.125, data_type::bf16, 64, 4096},
                            {1, data_type::f32, 1, 100},
                            {0.0625, data_type::f32, 256, 20000}};
constexpr sample sharp[] = {{1000, data_type::f32, 64, 1000},
                            {1000, data_type::bf16, 64, 1000},
                            {30, data_type::f32, 128, 1000}};
INSTANTIATE_TEST_SUITE_P(usual, ErrorBound, ::testing::ValuesIn(usual));
INSTANTIATE_TEST_SUITE_P(sharp, ErrorBound, ::testing::ValuesIn(sharp));
INSTANTIATE_TEST_SUITE_P(usual, LostKey, ::testing::ValuesIn(usual));

TEST(error_bound, scores_are_bounded_by_norms) {
    const std::vector<float> q{3, 4, 0, std::numeric_limits<float>::quiet_NaN(), 1, 2};
    const std::vector<float> k{1, 0, 0, -2, 0, 1};
    const std::array<std::int64_t, 4> shape{1, 1, 3, 2};
    const tensor view_q{q.data(), data_type::f32, shape, {6, 6, 2, 1}};
    const tensor view_k{k.data(), data_type::f32, shape, {6, 6, 2, 1}};

    EXPECT_EQ(largest_score(view_q, view_k, -0.5), 0.5 * 5 * 2);
}

} // namespace
} // namespace cqsa::tool
