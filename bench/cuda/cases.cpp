// SPDX-License-Identifier: Apache-2.0
#include "bench/cuda/cases.hpp"

#include "bench/cuda/device.hpp"
#include "codelets/attend/attend.hpp"
#include "codelets/finalize/finalize.hpp"
#include "codelets/merge/merge.hpp"

#include <cmath>
#include <memory>
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
            queries_.push_back(
                {view(q_, t, c.tokens), layout.view(state), tokens, t, /*fresh=*/true});
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
    }

    [[nodiscard]] std::vector<query_block>& queries() { return queries_; }
    [[nodiscard]] std::vector<key_block>& keys() { return keys_; }
    [[nodiscard]] std::vector<pair_kind>& pairs() { return pairs_; }

    /// Seconds of all launches.
    double measure(double flops) {
        attend_task task;
        task.type = c_.type;
        task.heads = task.kv_heads = c_.heads;
        task.head_dim = c_.head_dim;
        task.scale = 1 / std::sqrt(static_cast<double>(c_.head_dim));
        task.queries = queries_;
        task.keys = keys_;
        task.pairs = pairs_;
        const std::size_t bytes = cuda::attend_workspace_bytes(task, 0);
        const DeviceArray workspace(static_cast<std::int64_t>(bytes));
        workspace.clear();
        cudaStream_t stream = nullptr;
        cuda::check(cudaStreamCreate(&stream), "creating a stream");
        if (c_.resume) {
            cuda::attend(task, {workspace.data(), bytes}, stream);
        }
        const int repetitions = flops > 4e13 ? 3 : 7;
        const double time = seconds(stream, repetitions, [&] {
            for (std::int64_t i = 0; i < c_.launches; ++i) {
                for (query_block& q : queries_) {
                    q.fresh = !c_.resume && i == 0;
                }
                task.followed = i + 1 < c_.launches;
                cuda::attend(task, {workspace.data(), bytes}, stream);
            }
        });
        cuda::check(cudaStreamDestroy(stream), "destroying a stream");
        return time;
    }

  private:
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
    const double flops = (c.causal ? 2.0 : 4.0) * static_cast<double>(c.tokens * c.kv_tokens) *
                         static_cast<double>(c.heads * c.head_dim * c.launches);
    Attention attention(c);
    return 1e-12 * flops / attention.measure(flops);
}

double quorum_rate(const attention_case& c) {
    // Quorum {0, 1, 3} of seven chunks, with the pairs (1,0), (3,0), (3,1) and the diagonal of 0.
    attention_case whole = c;
    whole.block_tokens = (c.tokens / 7 + 127) / 128 * 128;
    Attention attention(whole);
    const auto pick = [](auto& list) { list = {list[0], list[1], list[3]}; };
    pick(attention.queries());
    pick(attention.keys());
    constexpr auto none = pair_kind::none;
    constexpr auto dense = pair_kind::dense;
    attention.pairs() = {pair_kind::causal,
                         none,
                         none, //
                         dense,
                         none,
                         none, //
                         dense,
                         dense,
                         none};
    const auto n = static_cast<double>(whole.block_tokens);
    const double flops = 4 * 3.5 * n * n * static_cast<double>(c.heads * c.head_dim);
    return 1e-12 * flops / attention.measure(flops);
}

double copy_bandwidth() {
    constexpr std::int64_t bytes = std::int64_t{1} << 30;
    const DeviceArray from(bytes);
    const DeviceArray to(bytes);
    const double time = seconds(nullptr, 9, [&] {
        cuda::check(cudaMemcpyAsync(to.data(), from.data(), bytes, cudaMemcpyDeviceToDevice),
                    "copying");
    });
    return 2e-9 * static_cast<double>(bytes) / time;
}

double merge_bandwidth(std::int64_t head_dim) {
    const large_state into(head_dim);
    const large_state from(head_dim);
    const double time = seconds(nullptr, 9, [&] {
        cuda::merge({.type = into.p.type,
                     .rows = into.p.heads * into.p.tokens,
                     .head_dim = head_dim,
                     .into = into.layout.view(into.memory.data()),
                     .from = from.layout.view(from.memory.data())},
                    nullptr);
    });
    return 3e-9 * static_cast<double>(into.layout.bytes()) / time;
}

double finalize_bandwidth(std::int64_t head_dim) {
    const large_state state(head_dim);
    const problem& p = state.p;
    const DeviceArray out(p.heads * p.tokens * head_dim * 2);
    const DeviceArray lse(p.heads * p.tokens * 4);
    const double time = seconds(nullptr, 9, [&] {
        cuda::finalize({.type = p.type,
                        .out_type = p.type,
                        .heads = p.heads,
                        .tokens = p.tokens,
                        .head_dim = head_dim,
                        .state = state.layout.view(state.memory.data()),
                        .out = {out.data(), 0, p.tokens * head_dim, head_dim},
                        .lse = {lse.data(), 0, p.tokens, 1}},
                       nullptr);
    });
    return 1e-9 *
           static_cast<double>(static_cast<std::int64_t>(state.layout.bytes()) +
                               p.heads * p.tokens * (2 * head_dim + 4)) /
           time;
}

} // namespace cqsa::bench
