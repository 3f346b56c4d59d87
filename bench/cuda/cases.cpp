// SPDX-License-Identifier: Apache-2.0
#include "bench/cuda/cases.hpp"

#include "bench/cuda/device.hpp"
#include "codelets/attend/attend.hpp"
#include "codelets/finalize/finalize.hpp"
#include "codelets/merge/merge.hpp"

#include <cmath>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

namespace cqsa::bench {
namespace {

problem problem_of(const attention_case& c) {
    problem p;
    p.heads = p.kv_heads = c.heads;
    p.tokens = c.tokens;
    p.kv_tokens = c.kv_tokens;
    p.head_dim = c.head_dim;
    p.type = c.type;
    return p;
}

/// Q, K, V as whole tensors [heads, tokens, head_dim], a state per query block, and the task.
class Attention {
  public:
    explicit Attention(const attention_case& c)
        : c_(c), q_(bytes(c.tokens)), k_(bytes(c.kv_tokens)), v_(bytes(c.kv_tokens)),
          states_(state_layout(problem_of(c), c.tokens).bytes() + std::size_t{4096} * 256) {
        fill_normal(c.type, q_.data(), c.heads * c.tokens * c.head_dim, 1);
        fill_normal(c.type, k_.data(), c.heads * c.kv_tokens * c.head_dim, 2);
        fill_normal(c.type, v_.data(), c.heads * c.kv_tokens * c.head_dim, 3);
        std::byte* state = states_.data();
        const std::int64_t block = c.block_tokens == 0 ? c.tokens : c.block_tokens;
        for (std::int64_t t = 0; t < c.tokens; t += block) {
            const std::int64_t tokens = std::min(block, c.tokens - t);
            const state_layout layout(problem_of(c), tokens);
            queries_.push_back({view(q_, t, c.tokens), layout.view(state), tokens, t,
                                /*fresh=*/true, row_keys(t)});
            state += layout.bytes();
        }
        const std::int64_t key_length = c.block_tokens == 0 ? c.kv_tokens : c.block_tokens;
        for (std::int64_t t = 0; t < c.kv_tokens; t += key_length) {
            keys_.push_back({view(k_, t, c.kv_tokens), view(v_, t, c.kv_tokens),
                             std::min(key_length, c.kv_tokens - t), t});
        }
        for (const query_block& q : queries_) {
            for (const key_block& k : keys_) {
                pairs_.push_back(!c.causal || k.position + k.tokens <= q.position ? pair_kind::dense
                                 : k.position < q.position + q.tokens ? pair_kind::causal
                                                                      : pair_kind::none);
            }
        }
        if (c.quorum) {
            const auto pick = [](auto& list) { list = {list[0], list[1], list[3]}; };
            pick(queries_);
            pick(keys_);
            constexpr auto none = pair_kind::none;
            constexpr auto dense = pair_kind::dense;
            pairs_ = {pair_kind::causal,
                      none,
                      none, //
                      dense,
                      none,
                      none, //
                      dense,
                      dense,
                      none};
        }
        task_.type = c.type;
        task_.heads = task_.kv_heads = c.heads;
        task_.head_dim = c.head_dim;
        task_.scale = 1 / std::sqrt(static_cast<double>(c.head_dim));
        task_.queries = queries_;
        task_.keys = keys_;
        task_.pairs = pairs_;
        workspace_.emplace(static_cast<std::int64_t>(cuda::attend_workspace_bytes(task_, 0)));
        workspace_->clear();
        if (c.resume) cuda::attend(task_, workspace_->span(), nullptr);
    }

    /// Of all launches.
    [[nodiscard]] double flops() const {
        const auto head_elements = static_cast<double>(c_.heads * c_.head_dim);
        double pairs = static_cast<double>(c_.tokens * c_.kv_tokens) / (c_.causal ? 2 : 1);
        if (c_.quorum) pairs = 3.5 * static_cast<double>(c_.block_tokens * c_.block_tokens);
        return 4 * pairs * head_elements * static_cast<double>(c_.launches);
    }

    /// All launches.
    void launch(cudaStream_t stream) {
        for (std::int64_t i = 0; i < c_.launches; ++i) {
            for (query_block& q : queries_) {
                q.fresh = !c_.resume && i == 0;
            }
            task_.followed = i + 1 < c_.launches;
            cuda::attend(task_, workspace_->span(), stream);
        }
    }

  private:
    /// Of rows that see keys in other launches, too, as in the graph.
    [[nodiscard]] std::int64_t row_keys(std::int64_t position) const {
        if (c_.quorum) return position + 1;
        return c_.launches > 1 ? c_.launches * c_.kv_tokens : 0;
    }
    [[nodiscard]] std::int64_t bytes(std::int64_t tokens) const {
        return c_.heads * tokens * c_.head_dim * bytes_of(c_.type);
    }
    [[nodiscard]] tensor_view view(const DeviceArray& x, std::int64_t token,
                                   std::int64_t tokens) const {
        return {x.data() + token * c_.head_dim * bytes_of(c_.type), c_.heads * tokens * c_.head_dim,
                tokens * c_.head_dim, c_.head_dim};
    }

    attention_case c_;
    DeviceArray q_, k_, v_, states_;
    std::vector<query_block> queries_;
    std::vector<key_block> keys_;
    std::vector<pair_kind> pairs_;
    attend_task task_;
    std::optional<DeviceArray> workspace_;
};

/// Device memory for a state of 64K tokens and 8 heads, filled with plausible numbers.
struct large_state {
    explicit large_state(std::int64_t head_dim)
        : p{.heads = 8, .tokens = 65536, .head_dim = head_dim, .type = data_type::bf16},
          layout(p, p.tokens), memory(static_cast<std::int64_t>(layout.bytes())) {
        fill_normal(data_type::f32, memory.data(), static_cast<std::int64_t>(layout.bytes()) / 4,
                    4);
    }
    problem p;
    state_layout layout;
    DeviceArray memory;
};

} // namespace

double attention_rate(const attention_case& c) {
    Attention attention(c);
    const int repetitions = attention.flops() > 4e13 ? 3 : 7;
    return 1e-12 * attention.flops() /
           median_gpu_seconds(repetitions, [&](cudaStream_t on) { attention.launch(on); });
}

std::pair<double, double> compared_rates(const attention_case& a, const attention_case& b) {
    constexpr double turn_flops = 1.5e13;
    constexpr int turns = 32;
    Attention attentions[2] = {Attention(a), Attention(b)};
    Stream stream;
    double seconds[2] = {};
    double flops[2] = {};
    for (int turn = -2; turn < turns; ++turn) {
        for (int i = 0; i < 2; ++i) {
            const double each = attentions[i].flops();
            const auto runs = static_cast<int>(std::ceil(turn_flops / each));
            const double time = stream.seconds([&](cudaStream_t on) {
                for (int run = 0; run < runs; ++run)
                    attentions[i].launch(on);
            });
            if (turn < 0) continue; // the GPU warms up
            seconds[i] += time;
            flops[i] += runs * each;
        }
    }
    return {1e-12 * flops[0] / seconds[0], 1e-12 * flops[1] / seconds[1]};
}

double copy_bandwidth() {
    constexpr std::int64_t bytes = std::int64_t{1} << 30;
    const DeviceArray from(bytes);
    const DeviceArray to(bytes);
    const double time = median_gpu_seconds(9, [&](cudaStream_t on) {
        cuda::check(cudaMemcpyAsync(to.data(), from.data(), bytes, cudaMemcpyDeviceToDevice, on),
                    "copying");
    });
    return 2e-9 * static_cast<double>(bytes) / time;
}

double merge_bandwidth(std::int64_t head_dim) {
    const large_state into(head_dim);
    const large_state from(head_dim);
    const double time = median_gpu_seconds(9, [&](cudaStream_t on) {
        cuda::merge({.type = into.p.type,
                     .rows = into.p.heads * into.p.tokens,
                     .head_dim = head_dim,
                     .into = into.layout.view(into.memory.data()),
                     .from = from.layout.view(from.memory.data())},
                    on);
    });
    return 3e-9 * static_cast<double>(into.layout.bytes()) / time;
}

double finalize_bandwidth(std::int64_t head_dim) {
    const large_state state(head_dim);
    const problem& p = state.p;
    const DeviceArray out(p.heads * p.tokens * head_dim * 2);
    const DeviceArray lse(p.heads * p.tokens * 4);
    const double time = median_gpu_seconds(9, [&](cudaStream_t on) {
        cuda::finalize({.type = p.type,
                        .out_type = p.type,
                        .heads = p.heads,
                        .tokens = p.tokens,
                        .head_dim = head_dim,
                        .state = state.layout.view(state.memory.data()),
                        .out = {out.data(), 0, p.tokens * head_dim, head_dim},
                        .lse = {lse.data(), 0, p.tokens, 1}},
                       on);
    });
    return 1e-9 *
           static_cast<double>(static_cast<std::int64_t>(state.layout.bytes()) +
                               p.heads * p.tokens * (2 * head_dim + 4)) /
           time;
}

} // namespace cqsa::bench
