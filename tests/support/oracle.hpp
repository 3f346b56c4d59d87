// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/problem.hpp"
#include "tests/support/tensor.hpp"

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
attention_values attention_oracle(const problem& p, double scale, const Tensor& q, const Tensor& k,
                                  const Tensor& v);

} // namespace cqsa::test
