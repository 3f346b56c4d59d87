// SPDX-License-Identifier: Apache-2.0
#include "codelets/element.hpp"
#include "codelets/finalize/finalize.hpp"
#include "codelets/finalize/narrow.hpp"

#include <cmath>
#include <limits>
#include <type_traits>

namespace cqsa::openmp {
namespace {

/// out = factor · acc, rounded to the output's type.
template<class Real, class Out>
void write_row(const cpu::narrow_kernel& narrow, const Real* acc, Real factor, std::int64_t n,
               Out* out) {
    if constexpr (std::is_same_v<Real, float> && std::is_same_v<Out, half>) {
        narrow.to_half(acc, factor, n, out);
    } else if constexpr (std::is_same_v<Real, float> && std::is_same_v<Out, bfloat16>) {
        narrow.to_bfloat16(acc, factor, n, out);
    } else {
        for (std::int64_t e = 0; e < n; ++e) {
            out[e] = from_double<Out>(static_cast<double>(acc[e] * factor));
        }
    }
}

template<class Real, class Out>
void finalize_row(const finalize_task& task, const cpu::narrow_kernel& narrow, std::int64_t row) {
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
        write_row<Real, Out>(narrow, acc, 1 / l, d, out);
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
    const cpu::narrow_kernel& narrow = cpu::narrow_of(selected_isa());
    with_state_element(task.type, [&](auto real) {
        with_element(task.out_type, [&](auto out) {
#pragma omp parallel for num_threads(threads) schedule(static)
            for (std::int64_t row = 0; row < rows; ++row) {
                finalize_row<decltype(real), decltype(out)>(task, narrow, row);
            }
        });
    });
}

} // namespace cqsa::openmp
