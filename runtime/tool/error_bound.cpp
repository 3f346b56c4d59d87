// SPDX-License-Identifier: Apache-2.0
#include "runtime/tool/error_bound.hpp"

#include "codelets/element.hpp"

#include <algorithm>
#include <cmath>

namespace cqsa::tool {
namespace {

/// Half the distance from 1 to the next number.
double unit_roundoff(data_type type) {
    switch (type) {
    case data_type::f16:
        return 0x1p-11;
    case data_type::bf16:
        return 0x1p-8;
    case data_type::f32:
        return 0x1p-24;
    case data_type::f64:
        break;
    }
    return 0x1p-53;
}

bool has_16_bits(data_type type) {
    return bytes_of(type) == 2;
}

/// The largest finite norm of a row.
double largest_norm(const tensor& t) {
    return with_element(t.type, [&](auto tag) {
        using element = decltype(tag);
        const auto* data = static_cast<const element*>(t.data);
        double largest = 0;
#pragma omp parallel for collapse(3) reduction(max : largest)
        for (std::int64_t b = 0; b < t.shape[0]; ++b)
            for (std::int64_t h = 0; h < t.shape[1]; ++h)
                for (std::int64_t n = 0; n < t.shape[2]; ++n) {
                    const element* row =
                        data + b * t.strides[0] + h * t.strides[1] + n * t.strides[2];
                    double sum = 0;
                    for (std::int64_t d = 0; d < t.shape[3]; ++d)
                        sum += to_double(row[d]) * to_double(row[d]);
                    if (std::isfinite(sum)) largest = std::max(largest, sum);
                }
        return std::sqrt(largest);
    });
}

} // namespace

error_bound bound_for(const problem& problem, double largest_score) {
    const double u = unit_roundoff(state_type(problem.type));
    const auto d = static_cast<double>(problem.head_dim);
    const double n = std::max(static_cast<double>(problem.kv_tokens), 1.0);
    constexpr double lambda = 4;
    const double score = lambda * (std::sqrt(d) + 4) * u * largest_score;
    const double sums = lambda * std::sqrt(n / 16) * u;
    const double rest = 16 * u + 2 * u * (largest_score + std::log(n));

    error_bound bound;
    bound.lse_abs_error = score + sums + rest;
    bound.rel_error = 2 * bound.lse_abs_error + unit_roundoff(problem.out_type);
    if (has_16_bits(problem.type)) bound.rel_error += unit_roundoff(problem.type);
    if (problem.type == data_type::f16) bound.rel_error += std::sqrt(n) * 0x1p-25;
    return bound;
}

double largest_score(const tensor& q, const tensor& k, double scale) {
    return std::abs(scale) * largest_norm(q) * largest_norm(k);
}

} // namespace cqsa::tool
