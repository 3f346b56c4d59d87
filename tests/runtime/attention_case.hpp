// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/attend.hpp"
#include "tests/support/error_norm.hpp"
#include "tests/support/oracle.hpp"
#include "tests/support/tensor.hpp"

#include <cmath>
#include <cstdint>
#include <vector>

namespace cqsa::test {

/// The library's view of a test tensor.
inline tensor tensor_of(const Tensor& x) {
    const tensor_view view = x.view();
    return {view.data,
            x.type(),
            {x.batch(), x.heads(), x.tokens(), x.head_dim()},
            {view.batch_stride, view.head_stride, view.token_stride, 1}};
}

inline mutable_tensor mutable_tensor_of(Tensor& x) {
    const tensor view = tensor_of(x);
    return {x.mutable_view().data, view.type, view.shape, view.strides};
}

/// A whole attention with random inputs: the operands, the call and the exact answer.
struct attention_case {
    problem size;
    layout order = layout::bhnd;
    Tensor q, k, v, out, lse;

    explicit attention_case(const problem& p, layout memory = layout::bhnd, std::uint64_t seed = 1)
        : size(p), order(memory),
          q(Tensor::random(p.type, p.batch, p.heads, p.tokens, p.head_dim, 3 * seed, memory)),
          k(Tensor::random(p.type, p.batch, p.kv_heads, p.kv_tokens, p.head_dim, 3 * seed + 1,
                           memory)),
          v(Tensor::random(p.type, p.batch, p.kv_heads, p.kv_tokens, p.head_dim, 3 * seed + 2,
                           memory)),
          out(p.out_type, p.batch, p.heads, p.tokens, p.head_dim, memory),
          lse(state_type(p.type), p.batch, p.heads, p.tokens, 1) {}

    attend_report run(attend_options options = {}) {
        options.mask = size.mask;
        return attend(tensor_of(q), tensor_of(k), tensor_of(v), mutable_tensor_of(out),
                      mutable_tensor_of(lse), options);
    }

    [[nodiscard]] double scale() const {
        return 1.0 / std::sqrt(static_cast<double>(size.head_dim));
    }
    [[nodiscard]] attention_values exact() const {
        return attention_oracle(size, scale(), q, k, v);
    }
};

} // namespace cqsa::test
