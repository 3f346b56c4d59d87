// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/data_view.hpp"
#include "codelets/element.hpp"
#include "planner/problem.hpp"
#include "tests/support/random.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace cqsa::test {

/// How a tensor [batch, heads, tokens, head_dim] lies in memory.
enum class layout {
    bhnd,   ///< batch, heads, tokens, head_dim
    bnhd,   ///< batch, tokens, heads, head_dim
    packed, ///< batch, tokens, heads, 3, head_dim: the middle slice of a packed q, k, v
};

/// A tensor that owns its memory. Every element starts as NaN, the gaps between slices stay so.
class Tensor {
  public:
    Tensor(data_type type, std::int64_t batch, std::int64_t heads, std::int64_t tokens,
           std::int64_t head_dim, layout order = layout::bhnd)
        : type_(type), batch_(batch), heads_(heads), tokens_(tokens), head_dim_(head_dim) {
        const std::int64_t slots = order == layout::packed ? 3 : 1;
        const bool by_head = order == layout::bhnd;
        batch_stride_ = heads * tokens * head_dim * slots;
        head_stride_ = (by_head ? tokens : 1) * head_dim * slots;
        token_stride_ = (by_head ? 1 : heads) * head_dim * slots;
        offset_ = order == layout::packed ? head_dim : 0;
        storage_.resize(static_cast<std::size_t>(batch * batch_stride_ * bytes_of(type)));
        for (std::int64_t i = 0; i < batch * batch_stride_; ++i) {
            write_element(type, storage_.data(), i, std::numeric_limits<double>::quiet_NaN());
        }
    }

    /// Filled with normal numbers of the given deviation, rounded to the type. The values depend on
    /// the seed and the logical index only, not on type or layout.
    static Tensor random(data_type type, std::int64_t batch, std::int64_t heads,
                         std::int64_t tokens, std::int64_t head_dim, std::uint64_t seed,
                         layout order = layout::bhnd, double deviation = 1) {
        Tensor x(type, batch, heads, tokens, head_dim, order);
        std::uint64_t index = 0;
        for (std::int64_t b = 0; b < batch; ++b) {
            for (std::int64_t h = 0; h < heads; ++h) {
                for (std::int64_t t = 0; t < tokens; ++t) {
                    for (std::int64_t e = 0; e < head_dim; ++e) {
                        x.set(b, h, t, e, deviation * normal(seed, index++));
                    }
                }
            }
        }
        return x;
    }

    [[nodiscard]] data_type type() const { return type_; }
    [[nodiscard]] std::int64_t batch() const { return batch_; }
    [[nodiscard]] std::int64_t heads() const { return heads_; }
    [[nodiscard]] std::int64_t tokens() const { return tokens_; }
    [[nodiscard]] std::int64_t head_dim() const { return head_dim_; }

    [[nodiscard]] double get(std::int64_t b, std::int64_t h, std::int64_t t, std::int64_t e) const {
        return read_element(type_, storage_.data(), index(b, h, t, e));
    }
    void set(std::int64_t b, std::int64_t h, std::int64_t t, std::int64_t e, double value) {
        write_element(type_, storage_.data(), index(b, h, t, e), value);
    }

    /// Its memory, gaps included; a copy of it elsewhere (on a device) can be viewed instead.
    [[nodiscard]] std::span<std::byte> storage() { return storage_; }
    [[nodiscard]] std::span<const std::byte> storage() const { return storage_; }

    /// The rows from `token` on; `base` is the memory viewed, by default the tensor's own.
    [[nodiscard]] tensor_view view(std::int64_t token = 0, const void* base = nullptr) const {
        const auto* data = static_cast<const std::byte*>(base == nullptr ? storage_.data() : base);
        return {data + index(0, 0, token, 0) * bytes_of(type_), batch_stride_, head_stride_,
                token_stride_};
    }
    [[nodiscard]] mutable_tensor_view mutable_view(std::int64_t token = 0, void* base = nullptr) {
        auto* data = static_cast<std::byte*>(base == nullptr ? storage_.data() : base);
        return {data + index(0, 0, token, 0) * bytes_of(type_), batch_stride_, head_stride_,
                token_stride_};
    }

    /// All elements in the order [batch, heads, tokens, head_dim].
    [[nodiscard]] std::vector<double> values() const {
        std::vector<double> all;
        all.reserve(static_cast<std::size_t>(batch_ * heads_ * tokens_ * head_dim_));
        for (std::int64_t b = 0; b < batch_; ++b) {
            for (std::int64_t h = 0; h < heads_; ++h) {
                for (std::int64_t t = 0; t < tokens_; ++t) {
                    for (std::int64_t e = 0; e < head_dim_; ++e) {
                        all.push_back(get(b, h, t, e));
                    }
                }
            }
        }
        return all;
    }

  private:
    [[nodiscard]] std::int64_t index(std::int64_t b, std::int64_t h, std::int64_t t,
                                     std::int64_t e) const {
        return offset_ + b * batch_stride_ + h * head_stride_ + t * token_stride_ + e;
    }

    data_type type_;
    std::int64_t batch_, heads_, tokens_, head_dim_;
    std::int64_t batch_stride_ = 0, head_stride_ = 0, token_stride_ = 0, offset_ = 0;
    std::vector<std::byte> storage_;
};

} // namespace cqsa::test
