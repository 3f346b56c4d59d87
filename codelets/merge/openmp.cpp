// SPDX-License-Identifier: Apache-2.0
#include "codelets/element.hpp"
#include "codelets/merge/merge.hpp"

#include <cmath>

namespace cqsa::openmp {
namespace {

template<class Real>
void merge_row(const merge_task& task, std::int64_t row) {
    const std::int64_t d = task.head_dim;
    Real* acc = static_cast<Real*>(task.into.acc) + row * d;
    Real& m = static_cast<Real*>(task.into.m)[row];
    Real& l = static_cast<Real*>(task.into.l)[row];
    const Real* other_acc = static_cast<const Real*>(task.from.acc) + row * d;
    const Real other_m = static_cast<const Real*>(task.from.m)[row];
    const Real other_l = static_cast<const Real*>(task.from.l)[row];
    if (task.fresh || l == 0) {
        for (std::int64_t e = 0; e < d; ++e) {
            acc[e] = other_acc[e];
        }
        m = other_m;
        l = other_l;
        return;
    }
    if (other_l == 0) {
        return;
    }
    const Real high = std::isnan(m) || m > other_m ? m : other_m;
    const Real a = m == high ? 1 : std::exp(m - high);
    const Real b = other_m == high ? 1 : std::exp(other_m - high);
    for (std::int64_t e = 0; e < d; ++e) {
        acc[e] = a * acc[e] + b * other_acc[e];
    }
    m = high;
    l = a * l + b * other_l;
}

} // namespace

void merge(const merge_task& task, int threads) {
    with_state_element(task.type, [&](auto tag) {
#pragma omp parallel for num_threads(threads) schedule(static)
        for (std::int64_t row = 0; row < task.rows; ++row) {
            merge_row<decltype(tag)>(task, row);
        }
    });
}

} // namespace cqsa::openmp
