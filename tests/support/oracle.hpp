// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/problem.hpp"
#include "tests/support/tensor.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace cqsa::test {

/// Attention of whole tensors, every array in row order [batch, heads, tokens(, head_dim)].
struct attention_values {
    std::vector<double> o;         ///< acc / l, 0 where a row sees no key
    std::vector<double> lse;       ///< m + ln l, −inf where a row sees no key
    std::vector<double> acc;       ///< Σ e^{s − m} v
    std::vector<double> m;         ///< max s
    std::vector<double> l;         ///< Σ e^{s − m}
    std::vector<double> magnitude; ///< Σ e^{s − m} |v|, to which the rounding of acc is relative
};

/// The oracle: softmax attention in float64 from its definition, in two passes over each row, from
/// the elements as the tensors hold them (that is, rounded to their type). Sums over keys are sums
/// of partial ones, so that its rounding errors hardly grow with the length. p.heads, p.head_dim
/// and the lengths are taken from the tensors; p gives the mask. Cost: tokens · kv_tokens ·
/// head_dim.
inline attention_values attention_oracle(const problem& p, double scale, const Tensor& q,
                                         const Tensor& k, const Tensor& v) {
    const std::int64_t n = q.tokens();
    const std::int64_t kn = k.tokens();
    const std::int64_t d = q.head_dim();
    const std::int64_t group = q.heads() / k.heads();
    const std::int64_t offset = p.mask == mask_rule::causal_bottom_right ? kn - n : 0;
    attention_values out;
    std::vector<double> s(static_cast<std::size_t>(kn));
    std::vector<double> keys(static_cast<std::size_t>(d * kn)); // transposed: [d][kn]
    std::vector<double> values(static_cast<std::size_t>(kn * d));
    std::vector<double> acc(static_cast<std::size_t>(d));
    std::vector<double> magnitude(static_cast<std::size_t>(d));
    constexpr std::int64_t part_keys = 256;
    std::vector<double> part(static_cast<std::size_t>(d)); // of acc
    for (std::int64_t b = 0; b < q.batch(); ++b) {
        for (std::int64_t h = 0; h < q.heads(); ++h) {
            for (std::int64_t t = 0; t < kn; ++t) {
                for (std::int64_t e = 0; e < d; ++e) {
                    keys[e * kn + t] = k.get(b, h / group, t, e);
                    values[t * d + e] = v.get(b, h / group, t, e);
                }
            }
            for (std::int64_t r = 0; r < n; ++r) {
                const std::int64_t visible = p.mask == mask_rule::none
                                                 ? kn
                                                 : std::clamp<std::int64_t>(r + offset + 1, 0, kn);
                std::fill(s.begin(), s.end(), 0.0);
                for (std::int64_t e = 0; e < d; ++e) {
                    const double x = q.get(b, h, r, e);
                    for (std::int64_t t = 0; t < visible; ++t) {
                        s[t] += x * keys[e * kn + t];
                    }
                }
                double m = -std::numeric_limits<double>::infinity();
                for (std::int64_t t = 0; t < visible; ++t) {
                    s[t] *= scale;
                    m = std::isnan(s[t]) || s[t] > m ? s[t] : m;
                }
                double l = 0;
                std::fill(acc.begin(), acc.end(), 0.0);
                std::fill(magnitude.begin(), magnitude.end(), 0.0);
                for (std::int64_t t = 0; t < visible && m != -INFINITY;) {
                    const std::int64_t end = std::min(t + part_keys, visible);
                    double l_part = 0;
                    std::fill(part.begin(), part.end(), 0.0);
                    for (; t < end; ++t) {
                        const double weight = std::exp(s[t] - m);
                        l_part += weight;
                        for (std::int64_t e = 0; e < d; ++e) {
                            part[e] += weight * values[t * d + e];
                            magnitude[e] += weight * std::abs(values[t * d + e]);
                        }
                    }
                    l += l_part;
                    for (std::int64_t e = 0; e < d; ++e) {
                        acc[e] += part[e];
                    }
                }
                out.m.push_back(m);
                out.l.push_back(l);
                out.lse.push_back(l == 0 ? m : m + std::log(l));
                out.acc.insert(out.acc.end(), acc.begin(), acc.end());
                out.magnitude.insert(out.magnitude.end(), magnitude.begin(), magnitude.end());
                for (const double x : acc) {
                    out.o.push_back(l == 0 ? 0 : x / l);
                }
            }
        }
    }
    return out;
}

} // namespace cqsa::test
