// SPDX-License-Identifier: Apache-2.0
#include "codelets/element.hpp"
#include "codelets/finalize/finalize.hpp"

#include <cmath>
#include <limits>

namespace cqsa::reference {

void finalize(const finalize_task& task) {
    const data_type type = state_type(task.type);
    for (std::int64_t row = 0; row < task.batch * task.heads * task.tokens; ++row) {
        const std::int64_t token = row % task.tokens;
        const std::int64_t head = row / task.tokens % task.heads;
        const std::int64_t batch = row / task.tokens / task.heads;
        const double l = task.fresh ? 0 : read_element(type, task.state.l, row);
        const std::int64_t out = batch * task.out.batch_stride + head * task.out.head_stride +
                                 token * task.out.token_stride;
        for (std::int64_t e = 0; e < task.head_dim; ++e) {
            const double value =
                l == 0 ? 0 : read_element(type, task.state.acc, row * task.head_dim + e) / l;
            write_element(task.out_type, task.out.data, out + e, value);
        }
        if (task.lse.data != nullptr) {
            const double lse = l == 0 ? -std::numeric_limits<double>::infinity()
                                      : read_element(type, task.state.m, row) + std::log(l);
            write_element(type, task.lse.data,
                          batch * task.lse.batch_stride + head * task.lse.head_stride +
                              token * task.lse.token_stride,
                          lse);
        }
    }
}

} // namespace cqsa::reference
