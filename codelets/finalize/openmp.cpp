// SPDX-License-Identifier: Apache-2.0
#include "codelets/element.hpp"
#include "codelets/finalize/finalize.hpp"

#include <cmath>
#include <limits>

namespace cqsa::openmp {
namespace {

template<class Real, class Out>
Out rounded(Real x) {
    if constexpr (std::is_same_v<Out, half>) {
        return to_half(static_cast<float>(x));
    } else if constexpr (std::is_same_v<Out, bfloat16>) {
        return to_bfloat16(static_cast<float>(x));
    } else {
        return static_cast<Out>(x);
    }
}

template<class Real, class Out>
void finalize_row(const finalize_task& task, std::int64_t row) {
    const std::int64_t d = task.head_dim;
    const std::int64_t token = row % task.tokens;
    const std::int64_t head = row / task.tokens % task.heads;
    const std::int64_t batch = row / task.tokens / task.heads;
    const Real l = task.fresh ? 0 : static_cast<const Real*>(task.state.l)[row];
    Out* out = static_cast<Out*>(task.out.data) + batch * task.out.batch_stride +
               head * task.out.head_stride + token * task.out.token_stride;
    if (l == 0) {
        for (std::int64_t e = 0; e < d; ++e) {
            out[e] = Out{};
        }
    } else {
        const Real* acc = static_cast<const Real*>(task.state.acc) + row * d;
        const Real factor = 1 / l;
        for (std::int64_t e = 0; e < d; ++e) {
            out[e] = rounded<Real, Out>(acc[e] * factor);
        }
    }
    if (task.lse.data != nullptr) {
        static_cast<Real*>(
            task.lse.data)[batch * task.lse.batch_stride + head * task.lse.head_stride +
                           token * task.lse.token_stride] =
            l == 0 ? -std::numeric_limits<Real>::infinity()
                   : static_cast<const Real*>(task.state.m)[row] + std::log(l);
    }
}

} // namespace

void finalize(const finalize_task& task, int threads) {
    const std::int64_t rows = task.batch * task.heads * task.tokens;
    with_state_element(task.type, [&](auto real) {
        with_element(task.out_type, [&](auto out) {
#pragma omp parallel for num_threads(threads) schedule(static)
            for (std::int64_t row = 0; row < rows; ++row) {
                finalize_row<decltype(real), decltype(out)>(task, row);
            }
        });
    });
}

} // namespace cqsa::openmp
