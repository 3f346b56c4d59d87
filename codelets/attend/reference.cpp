// SPDX-License-Identifier: Apache-2.0
#include "codelets/attend/attend.hpp"
#include "codelets/element.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace cqsa::reference {
namespace {

constexpr double minus_infinity = -std::numeric_limits<double>::infinity();

/// One row's state in float64.
struct row_state {
    std::vector<double> acc;
    double m = minus_infinity;
    double l = 0;
};

/// `tokens` rows of one head of a block, as float64.
class HeadRows {
  public:
    HeadRows(data_type type, const tensor_view& x, std::int64_t batch, std::int64_t head)
        : type_(type), view_(x), start_(batch * x.batch_stride + head * x.head_stride) {}
    [[nodiscard]] double operator()(std::int64_t token, std::int64_t element) const {
        return read_element(type_, view_.data, start_ + token * view_.token_stride + element);
    }

  private:
    data_type type_;
    const tensor_view& view_;
    std::int64_t start_;
};

/// The recurrence for one row over the first `visible` keys of a block.
void update(row_state& row, const std::vector<double>& q, const HeadRows& k, const HeadRows& v,
            std::int64_t visible, double scale) {
    const auto d = static_cast<std::int64_t>(q.size());
    std::vector<double> scores(static_cast<std::size_t>(visible));
    double m = row.m;
    for (std::int64_t t = 0; t < visible; ++t) {
        double dot = 0;
        for (std::int64_t e = 0; e < d; ++e) {
            dot += q[e] * k(t, e);
        }
        scores[t] = scale * dot;
        m = std::isnan(scores[t]) || scores[t] > m ? scores[t] : m;
    }
    if (m == minus_infinity) {
        return;
    }
    const double rescale = row.l == 0 ? 0 : std::exp(row.m - m);
    row.m = m;
    row.l *= rescale;
    for (double& x : row.acc) {
        x *= rescale;
    }
    for (std::int64_t t = 0; t < visible; ++t) {
        const double p = std::exp(scores[t] - m);
        row.l += p;
        for (std::int64_t e = 0; e < d; ++e) {
            row.acc[e] += p * v(t, e);
        }
    }
}

row_state load(const attend_task& task, const query_block& block, std::int64_t row) {
    row_state state{std::vector<double>(static_cast<std::size_t>(task.head_dim))};
    if (block.fresh) {
        return state;
    }
    const data_type type = state_type(task.type);
    state.m = read_element(type, block.state.m, row);
    state.l = read_element(type, block.state.l, row);
    for (std::int64_t e = 0; e < task.head_dim; ++e) {
        state.acc[e] = read_element(type, block.state.acc, row * task.head_dim + e);
    }
    return state;
}

void store(const attend_task& task, const query_block& block, std::int64_t row,
           const row_state& state) {
    const data_type type = state_type(task.type);
    write_element(type, block.state.m, row, state.m);
    write_element(type, block.state.l, row, state.l);
    for (std::int64_t e = 0; e < task.head_dim; ++e) {
        write_element(type, block.state.acc, row * task.head_dim + e, state.acc[e]);
    }
}

/// How many of a key block's first keys the query at `position` sees.
std::int64_t visible_keys(const attend_task& task, pair_kind pair, const key_block& keys,
                          std::int64_t position) {
    if (pair == pair_kind::none) {
        return 0;
    }
    if (pair == pair_kind::dense) {
        return keys.tokens;
    }
    return std::clamp<std::int64_t>(position + task.causal_offset - keys.position + 1, 0,
                                    keys.tokens);
}

} // namespace

void attend(const attend_task& task) {
    const std::int64_t group = task.heads / task.kv_heads;
    std::vector<double> q(static_cast<std::size_t>(task.head_dim));
    for (std::size_t i = 0; i < task.queries.size(); ++i) {
        const query_block& block = task.queries[i];
        for (std::int64_t row = 0; row < task.batch * task.heads * block.tokens; ++row) {
            const std::int64_t token = row % block.tokens;
            const std::int64_t head = row / block.tokens % task.heads;
            const std::int64_t batch = row / block.tokens / task.heads;
            const HeadRows queries(task.type, block.q, batch, head);
            for (std::int64_t e = 0; e < task.head_dim; ++e) {
                q[e] = queries(token, e);
            }
            row_state state = load(task, block, row);
            for (std::size_t j = 0; j < task.keys.size(); ++j) {
                const key_block& keys = task.keys[j];
                update(state, q, HeadRows(task.type, keys.k, batch, head / group),
                       HeadRows(task.type, keys.v, batch, head / group),
                       visible_keys(task, task.pairs[i * task.keys.size() + j], keys,
                                    block.position + token),
                       task.scale);
            }
            store(task, block, row, state);
        }
    }
}

} // namespace cqsa::reference
