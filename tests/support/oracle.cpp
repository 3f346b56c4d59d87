// SPDX-License-Identifier: Apache-2.0
#include "tests/support/oracle.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace cqsa::test {

attention_values attention_oracle(const problem& p, double scale, const Tensor& q, const Tensor& k,
                                  const Tensor& v) {
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
                std::ranges::fill(s, 0.0);
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
                std::ranges::fill(acc, 0.0);
                std::ranges::fill(magnitude, 0.0);
                for (std::int64_t t = 0; t < visible && m != -INFINITY;) {
                    const std::int64_t end = std::min(t + part_keys, visible);
                    double l_part = 0;
                    std::ranges::fill(part, 0.0);
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
