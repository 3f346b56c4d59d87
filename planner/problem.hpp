// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

namespace cqsa {

/// Element types of queries, keys, values and outputs.
enum class data_type : std::uint8_t { f16, bf16, f32, f64 };

/// Bytes of one element.
constexpr std::int64_t bytes_of(data_type type) {
    return type == data_type::f64 ? 8 : type == data_type::f32 ? 4 : 2;
}

/// Type of the running state (acc, m, l) and of lse: double for f64 inputs, float for all others.
constexpr data_type state_type(data_type type) {
    return type == data_type::f64 ? data_type::f64 : data_type::f32;
}

/// "f16", "bf16", "f32" or "f64".
constexpr std::string_view name_of(data_type type) {
    constexpr std::string_view names[] = {"f16", "bf16", "f32", "f64"};
    return names[static_cast<int>(type)];
}

/// Which keys a query sees. With unequal lengths the two causal rules differ.
enum class mask_rule : std::uint8_t {
    none,                ///< every key
    causal_top_left,     ///< key t is seen by query r when t <= r (PyTorch's is_causal)
    causal_bottom_right, ///< when t <= r + kv_tokens - tokens (FlashAttention's causal)
};

/// The size of one attention: O[b,h,r,:] = softmax(scale * q·kᵀ + mask) · v.
/// heads is a multiple of kv_heads; query head h reads key/value head h / (heads / kv_heads).
struct problem {
    std::int64_t batch = 1;
    std::int64_t heads = 1;
    std::int64_t kv_heads = 1;
    std::int64_t tokens = 0;
    std::int64_t kv_tokens = 0;
    std::int64_t head_dim = 0;
    data_type type = data_type::f32;
    data_type out_type = data_type::f32;
    mask_rule mask = mask_rule::none;

    /// Key t is visible to query r when t <= r + causal_offset(). Only for the causal rules.
    [[nodiscard]] constexpr std::int64_t causal_offset() const {
        return mask == mask_rule::causal_bottom_right ? kv_tokens - tokens : 0;
    }
    friend bool operator==(const problem&, const problem&) = default;
};

} // namespace cqsa
