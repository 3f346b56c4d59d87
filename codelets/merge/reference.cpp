// SPDX-License-Identifier: Apache-2.0
#include "codelets/element.hpp"
#include "codelets/merge/merge.hpp"

#include <cmath>

namespace cqsa::reference {
namespace {

/// e^{m − high}; 1 for equal ones, infinite too.
double weight(double m, double high) {
    return m == high ? 1 : std::exp(m - high);
}

} // namespace

void merge(const merge_task& task) {
    with_state_element(task.type, [&](auto tag) {
        using real = decltype(tag);
        auto* acc = static_cast<real*>(task.into.acc);
        auto* m = static_cast<real*>(task.into.m);
        auto* l = static_cast<real*>(task.into.l);
        const auto* other_acc = static_cast<const real*>(task.from.acc);
        const auto* other_m = static_cast<const real*>(task.from.m);
        const auto* other_l = static_cast<const real*>(task.from.l);
        for (std::int64_t row = 0; row < task.rows; ++row) {
            const bool empty = task.fresh || l[row] == 0;
            const bool other_empty = other_l[row] == 0;
            const double m1 = empty ? other_m[row] : m[row];
            const double m2 = other_empty ? m1 : other_m[row];
            const double high = std::isnan(m1) || m1 > m2 ? m1 : m2;
            const double a = empty ? 0 : weight(m1, high);
            const double b = other_empty ? 0 : weight(m2, high);
            const double sum = (empty ? 0 : a * l[row]) + b * other_l[row];
            for (std::int64_t e = row * task.head_dim; e < (row + 1) * task.head_dim; ++e) {
                acc[e] = static_cast<real>((empty ? 0 : a * acc[e]) +
                                           (other_empty ? 0 : b * other_acc[e]));
            }
            m[row] = static_cast<real>(high);
            l[row] = static_cast<real>(sum);
        }
    });
}

} // namespace cqsa::reference
