// SPDX-License-Identifier: Apache-2.0
#include "planner/flops.hpp"

#include <algorithm>

namespace cqsa {

double visible_pairs(const problem& p) {
    const auto rows = static_cast<long double>(p.tokens);
    const auto width = static_cast<long double>(p.kv_tokens);
    if (p.mask == mask_rule::none) return static_cast<double>(rows * width);
    // Row r sees clamp(r + first, 0, width) keys.
    const std::int64_t first = p.causal_offset() + 1;
    const std::int64_t empty_rows = std::clamp<std::int64_t>(-first, 0, p.tokens);
    const std::int64_t full_rows =
        std::clamp<std::int64_t>(first + p.tokens - p.kv_tokens, 0, p.tokens);
    const std::int64_t cut_rows = std::max<std::int64_t>(p.tokens - empty_rows - full_rows, 0);
    const auto cut = static_cast<long double>(cut_rows);
    const auto shortest = static_cast<long double>(first + empty_rows);
    const long double pairs =
        static_cast<long double>(full_rows) * width + cut * shortest + cut * (cut - 1) / 2;
    return static_cast<double>(pairs);
}

} // namespace cqsa
