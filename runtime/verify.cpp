// SPDX-License-Identifier: Apache-2.0
#include "codelets/element.hpp"
#include "runtime/attend.hpp"
#include "runtime/operands.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace cqsa {
namespace {

// splitmix64: a full-period mix, so that row i of a seed is the same on every machine.
std::uint64_t mix(std::uint64_t x) {
    x += 0x9e3779b97f4a7c15U;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31);
}

struct row {
    std::int64_t batch;
    std::int64_t head;
    std::int64_t token;
};

row row_at(const problem& problem, std::int64_t flat) {
    return {flat / (problem.heads * problem.tokens), flat / problem.tokens % problem.heads,
            flat % problem.tokens};
}

row sampled_row(const problem& problem, std::uint64_t seed, std::int64_t i) {
    const auto rows = static_cast<std::uint64_t>(problem.batch * problem.heads * problem.tokens);
    const std::uint64_t number = mix(seed ^ mix(static_cast<std::uint64_t>(i)));
    return row_at(problem, static_cast<std::int64_t>(number % rows));
}

std::int64_t offset_of(const std::array<std::int64_t, 4>& strides, const row& at) {
    return at.batch * strides[0] + at.head * strides[1] + at.token * strides[2];
}

struct exact_row {
    std::vector<double> out;
    double lse;
};

template<class T>
exact_row attend_row(const operands& given, const problem& problem, double scale, const row& at) {
    const std::int64_t kv_head = at.head / (problem.heads / problem.kv_heads);
    const std::int64_t visible =
        problem.mask == mask_rule::none
            ? problem.kv_tokens
            : std::clamp<std::int64_t>(at.token + problem.causal_offset() + 1, 0,
                                       problem.kv_tokens);
    const T* query = static_cast<const T*>(given.q.data) + offset_of(given.q.strides, at);
    const auto row_of = [&](const tensor& array, std::int64_t j) {
        return static_cast<const T*>(array.data) + offset_of(array.strides, {at.batch, kv_head, j});
    };

    std::vector<double> scores(visible);
    double max = -std::numeric_limits<double>::infinity();
    for (std::int64_t j = 0; j < visible; ++j) {
        const T* key = row_of(given.k, j);
        double dot = 0;
        for (std::int64_t d = 0; d < problem.head_dim; ++d)
            dot += to_double(query[d]) * to_double(key[d]);
        scores[j] = scale * dot;
        max = std::isnan(scores[j]) ? scores[j] : std::max(max, scores[j]);
    }
    exact_row exact{std::vector<double>(problem.head_dim, 0.0), max};
    if (visible == 0) return exact;
    double sum = 0;
    for (std::int64_t j = 0; j < visible; ++j) {
        const double weight = std::exp(scores[j] - max);
        sum += weight;
        const T* value = row_of(given.v, j);
        for (std::int64_t d = 0; d < problem.head_dim; ++d)
            exact.out[d] += weight * to_double(value[d]);
    }
    for (double& x : exact.out)
        x /= sum;
    exact.lse = max + std::log(sum);
    return exact;
}

// |came − exact|; two equal infinities or two NaNs agree, one NaN is infinitely wrong.
double error_of(double came, double exact) {
    if (came == exact || (std::isnan(came) && std::isnan(exact))) return 0;
    const double error = std::abs(came - exact);
    return std::isnan(error) ? std::numeric_limits<double>::infinity() : error;
}

} // namespace

verification verify(const tensor& q, const tensor& k, const tensor& v, const tensor& out,
                    const tensor& lse, const attend_options& options, std::int64_t rows,
                    std::uint64_t seed) {
    const operands given{q,
                         k,
                         v,
                         {const_cast<void*>(out.data), out.type, out.shape, out.strides},
                         {const_cast<void*>(lse.data), lse.type, lse.shape, lse.strides}};
    const problem problem = check(given, options);
    const double scale = scale_of(problem, options);
    const std::int64_t all_rows = problem.batch * problem.heads * problem.tokens;
    const std::int64_t sampled = std::min(rows, all_rows);
    double error_squares = 0;
    double exact_squares = 0;
    double max_error = 0;
    double lse_max_error = 0;
#pragma omp parallel for schedule(dynamic) reduction(+ : error_squares, exact_squares)             \
    reduction(max : max_error, lse_max_error)
    for (std::int64_t i = 0; i < sampled; ++i) {
        const row at = sampled == all_rows ? row_at(problem, i) : sampled_row(problem, seed, i);
        const exact_row exact = with_element(problem.type, [&](auto tag) {
            return attend_row<decltype(tag)>(given, problem, scale, at);
        });
        const std::int64_t begin = offset_of(out.strides, at);
        for (std::int64_t d = 0; d < problem.head_dim; ++d) {
            const double error =
                error_of(read_element(out.type, out.data, begin + d), exact.out[d]);
            error_squares += error * error;
            if (std::isfinite(exact.out[d])) exact_squares += exact.out[d] * exact.out[d];
            max_error = std::max(max_error, error);
        }
        if (lse.data != nullptr) {
            const double came = read_element(lse.type, lse.data, offset_of(lse.strides, at));
            lse_max_error = std::max(lse_max_error, error_of(came, exact.lse));
        }
    }
    // Exact rows that are all zero (no key seen) leave nothing to divide by: any error is infinite.
    const double rel_error = error_squares == 0 ? 0 : std::sqrt(error_squares / exact_squares);
    return {sampled, max_error, rel_error, lse_max_error};
}

} // namespace cqsa
