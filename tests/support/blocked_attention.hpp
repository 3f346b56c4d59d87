// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/attend/attend.hpp"
#include "codelets/element.hpp"
#include "codelets/state.hpp"
#include "planner/plan.hpp"
#include "tests/support/oracle.hpp"
#include "tests/support/tensor.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

namespace cqsa::test {

/// The lengths of a grid's blocks.
inline std::vector<std::int64_t> block_lengths(const block_grid& grid) {
    std::vector<std::int64_t> lengths;
    lengths.reserve(grid.blocks());
    for (std::int64_t i = 0; i < grid.blocks(); ++i) {
        lengths.push_back(grid.size(i));
    }
    return lengths;
}

/// How a query block [q0, q0 + qn) meets a key block [k0, k0 + kn) under the problem's mask.
inline pair_kind pair_of(const problem& p, std::int64_t q0, std::int64_t qn, std::int64_t k0,
                         std::int64_t kn) {
    if (p.mask == mask_rule::none) {
        return pair_kind::dense;
    }
    if (k0 > q0 + qn - 1 + p.causal_offset()) {
        return pair_kind::none;
    }
    return k0 + kn - 1 <= q0 + p.causal_offset() ? pair_kind::dense : pair_kind::causal;
}

/// Attention cut into query and key blocks: owns the states (poisoned with NaN at first, so that a
/// kernel which reads a fresh state is found out) and builds attend tasks from tensors.
///
///   BlockedAttention blocks(p, scale, {64, 64, 32}, {100, 60});
///   blocks.bind(q.view(), k.view(), v.view());
///   reference::attend(blocks.task());                // everything at once, or
///   reference::attend(blocks.task({0, 2}, {1}));     // query blocks 0 and 2, key block 1
///   attention_values x = blocks.result();
class BlockedAttention {
  public:
    BlockedAttention(const problem& p, double scale, std::vector<std::int64_t> query_lengths,
                     std::vector<std::int64_t> key_lengths)
        : problem_(p), scale_(scale), query_lengths_(std::move(query_lengths)),
          key_lengths_(std::move(key_lengths)), started_(query_lengths_.size(), false) {
        for (const std::int64_t tokens : query_lengths_) {
            states_.emplace_back(state_layout(p, tokens).bytes() + 255, std::byte{0xff});
            auto* data = states_.back().data();
            const auto misaligned = reinterpret_cast<std::uintptr_t>(data) % 256;
            buffers_.push_back(data + (256 - misaligned) % 256);
        }
    }
    BlockedAttention(const BlockedAttention&) = delete;
    BlockedAttention& operator=(const BlockedAttention&) = delete;

    /// The memory of q, k and v: views of the whole tensors, token 0 first.
    void bind(const tensor_view& q, const tensor_view& k, const tensor_view& v) {
        q_ = q;
        k_ = k;
        v_ = v;
    }

    /// Puts the state of query block i at `buffer` (device memory, say) instead of the own memory.
    void set_state(std::int64_t i, void* buffer) { buffers_[i] = buffer; }
    [[nodiscard]] void* state(std::int64_t i) const { return buffers_[i]; }
    [[nodiscard]] std::size_t state_bytes(std::int64_t i) const {
        return state_layout(problem_, query_lengths_[i]).bytes();
    }
    [[nodiscard]] std::int64_t query_blocks() const { return std::ssize(query_lengths_); }
    [[nodiscard]] std::int64_t key_blocks() const { return std::ssize(key_lengths_); }
    [[nodiscard]] std::int64_t query_length(std::int64_t i) const { return query_lengths_[i]; }

    /// The task over all blocks. Its spans are valid until the next call.
    attend_task task() {
        std::vector<std::int64_t> queries(query_lengths_.size());
        std::vector<std::int64_t> keys(key_lengths_.size());
        std::iota(queries.begin(), queries.end(), 0);
        std::iota(keys.begin(), keys.end(), 0);
        return task(queries, keys);
    }

    /// The task over these blocks. A query block is fresh in the first task that names it.
    attend_task task(const std::vector<std::int64_t>& queries,
                     const std::vector<std::int64_t>& keys) {
        task_queries_.clear();
        task_keys_.clear();
        task_pairs_.clear();
        for (const std::int64_t i : queries) {
            const std::int64_t begin = begin_of(query_lengths_, i);
            task_queries_.push_back({shifted(q_, begin),
                                     state_layout(problem_, query_lengths_[i]).view(buffers_[i]),
                                     query_lengths_[i], begin, !started_[i]});
            started_[i] = true;
            for (const std::int64_t j : keys) {
                task_pairs_.push_back(pair_of(problem_, begin, query_lengths_[i],
                                              begin_of(key_lengths_, j), key_lengths_[j]));
            }
        }
        for (const std::int64_t j : keys) {
            const std::int64_t begin = begin_of(key_lengths_, j);
            task_keys_.push_back({shifted(k_, begin), shifted(v_, begin), key_lengths_[j], begin});
        }
        attend_task result;
        result.type = problem_.type;
        result.batch = problem_.batch;
        result.heads = problem_.heads;
        result.kv_heads = problem_.kv_heads;
        result.head_dim = problem_.head_dim;
        result.scale = scale_;
        result.causal_offset = problem_.causal_offset();
        result.queries = task_queries_;
        result.keys = task_keys_;
        result.pairs = task_pairs_;
        return result;
    }

    /// All states as they are in the own memory, joined to whole tensors; o and lse in float64.
    [[nodiscard]] attention_values result() const {
        std::vector<const void*> memory(buffers_.begin(), buffers_.end());
        return result(memory);
    }
    /// The same from copies of the states elsewhere, one per query block.
    [[nodiscard]] attention_values result(const std::vector<const void*>& states) const {
        const std::int64_t n = problem_.tokens;
        const std::int64_t d = problem_.head_dim;
        const auto rows = static_cast<std::size_t>(problem_.batch * problem_.heads * n);
        const data_type type = state_type(problem_.type);
        attention_values x;
        x.m.resize(rows);
        x.l.resize(rows);
        x.lse.resize(rows);
        x.acc.resize(rows * d);
        x.o.resize(rows * d);
        for (std::int64_t i = 0; i < query_blocks(); ++i) {
            const std::int64_t tokens = query_lengths_[i];
            const state_view state =
                state_layout(problem_, tokens).view(const_cast<void*>(states[i]));
            for (std::int64_t r = 0; r < problem_.batch * problem_.heads * tokens; ++r) {
                const std::int64_t row = r / tokens * n + begin_of(query_lengths_, i) + r % tokens;
                x.m[row] = read_element(type, state.m, r);
                x.l[row] = read_element(type, state.l, r);
                x.lse[row] = x.l[row] == 0 ? -std::numeric_limits<double>::infinity()
                                           : x.m[row] + std::log(x.l[row]);
                for (std::int64_t e = 0; e < d; ++e) {
                    x.acc[row * d + e] = read_element(type, state.acc, r * d + e);
                    x.o[row * d + e] = x.l[row] == 0 ? 0 : x.acc[row * d + e] / x.l[row];
                }
            }
        }
        return x;
    }

  private:
    static std::int64_t begin_of(const std::vector<std::int64_t>& lengths, std::int64_t i) {
        return std::accumulate(lengths.begin(), lengths.begin() + i, std::int64_t{0});
    }
    [[nodiscard]] tensor_view shifted(tensor_view x, std::int64_t token) const {
        x.data = static_cast<const std::byte*>(x.data) +
                 token * x.token_stride * bytes_of(problem_.type);
        return x;
    }

    problem problem_;
    double scale_;
    std::vector<std::int64_t> query_lengths_, key_lengths_;
    std::vector<bool> started_;
    std::vector<std::vector<std::byte>> states_;
    std::vector<void*> buffers_;
    tensor_view q_, k_, v_;
    std::vector<query_block> task_queries_;
    std::vector<key_block> task_keys_;
    std::vector<pair_kind> task_pairs_;
};

} // namespace cqsa::test
