// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/attend/attend.hpp"
#include "codelets/element.hpp"
#include "codelets/state.hpp"
#include "planner/plan.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

namespace cqsa::bench {

/// One attention, [1, heads, tokens, head_dim] on both sides.
struct attend_case {
    data_type type = data_type::f32;
    std::int64_t heads = 8;
    std::int64_t tokens = 8192;
    std::int64_t head_dim = 64;
    bool causal = false;

    /// 4·head_dim for each visible pair; half of all pairs when causal, as everyone counts.
    [[nodiscard]] double flops() const {
        return 4.0 * static_cast<double>(tokens) * static_cast<double>(tokens) *
               static_cast<double>(heads * head_dim) * (causal ? 0.5 : 1);
    }
    [[nodiscard]] cqsa::problem problem() const {
        cqsa::problem p;
        p.type = p.out_type = type;
        p.heads = p.kv_heads = heads;
        p.tokens = p.kv_tokens = tokens;
        p.head_dim = head_dim;
        p.mask = causal ? mask_rule::causal_top_left : mask_rule::none;
        return p;
    }
};

/// What is measured where nothing else is asked for; the tests check the same cases.
inline const std::vector<data_type> usual_types{data_type::f32, data_type::bf16};
inline const std::vector<std::int64_t> usual_head_dims{64, 128};
inline const std::vector<bool> usual_masks{true, false}; ///< causal
inline std::vector<attend_case> usual_cases(std::int64_t heads, std::int64_t tokens) {
    std::vector<attend_case> cases;
    for (const data_type type : usual_types) {
        for (const std::int64_t head_dim : usual_head_dims) {
            for (const bool causal : usual_masks)
                cases.push_back({type, heads, tokens, head_dim, causal});
        }
    }
    return cases;
}

/// Page-aligned memory, zeroed, owned.
class Buffer {
  public:
    explicit Buffer(std::size_t bytes)
        : bytes_((bytes + page - 1) / page * page),
          data_(static_cast<std::byte*>(::operator new (bytes_, std::align_val_t{page}))) {
        for (std::size_t i = 0; i < bytes_; ++i) {
            data_.get()[i] = std::byte{};
        }
    }
    [[nodiscard]] std::byte* data() const { return data_.get(); }
    [[nodiscard]] std::size_t bytes() const { return bytes_; }

  private:
    static constexpr std::size_t page = 4096;
    struct release {
        void operator()(std::byte* p) const { ::operator delete (p, std::align_val_t{page}); }
    };
    std::size_t bytes_;
    std::unique_ptr<std::byte, release> data_;
};

/// The case as one attend task over these, which it refers to.
inline attend_task task_of(const attend_case& x, const query_block& query, const key_block& key,
                           const pair_kind& pair) {
    attend_task task;
    task.type = x.type;
    task.heads = task.kv_heads = x.heads;
    task.head_dim = x.head_dim;
    task.scale = 1 / std::sqrt(static_cast<double>(x.head_dim));
    task.queries = {&query, 1};
    task.keys = {&key, 1};
    task.pairs = {&pair, 1};
    return task;
}

/// Operands and state of a case as one attend task: one query block, one key block.
class AttendOperands {
  public:
    explicit AttendOperands(const attend_case& x)
        : case_(x), q_(operand_bytes()), k_(operand_bytes()), v_(operand_bytes()),
          state_(layout().bytes()) {
        std::uint64_t seed = 1;
        for (const Buffer* buffer : {&q_, &k_, &v_}) {
            fill(*buffer, seed++);
        }
        query_.q = view(q_);
        query_.state = layout().view(state_.data());
        query_.tokens = key_.tokens = x.tokens;
        query_.fresh = true;
        key_.k = view(k_);
        key_.v = view(v_);
        pair_ = x.causal ? pair_kind::causal : pair_kind::dense;
    }

    /// Valid as long as this object lives.
    [[nodiscard]] attend_task task() const { return task_of(case_, query_, key_, pair_); }

  private:
    [[nodiscard]] state_layout layout() const { return {case_.problem(), case_.tokens}; }
    [[nodiscard]] std::size_t operand_bytes() const {
        return static_cast<std::size_t>(case_.heads * case_.tokens * case_.head_dim *
                                        bytes_of(case_.type));
    }
    [[nodiscard]] tensor_view view(const Buffer& x) const {
        return {x.data(), case_.heads * case_.tokens * case_.head_dim,
                case_.tokens * case_.head_dim, case_.head_dim};
    }
    /// Mean 0 and variance 1, from a linear congruential generator: a sum of four uniform numbers.
    void fill(const Buffer& x, std::uint64_t seed) const {
        std::uint64_t state = seed * 0x9e3779b97f4a7c15U;
        for (std::int64_t i = 0; i < case_.heads * case_.tokens * case_.head_dim; ++i) {
            state = state * 6364136223846793005U + 1442695040888963407U;
            double sum = 0;
            for (int j = 0; j < 4; ++j) {
                sum += static_cast<double>(state >> (16 * j) & 0xffffU) / 65536 - 0.5;
            }
            write_element(case_.type, x.data(), i, sum * std::sqrt(3.0));
        }
    }

    attend_case case_;
    Buffer q_, k_, v_, state_;
    query_block query_;
    key_block key_;
    pair_kind pair_ = pair_kind::dense;
};

} // namespace cqsa::bench
