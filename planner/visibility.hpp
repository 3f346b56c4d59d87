// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/plan.hpp"

#include <algorithm>
#include <cstdint>

namespace cqsa {

/// What a mask rule leaves of the pairs of a query block and a key block.
class Visibility {
  public:
    Visibility(const problem& problem, const block_grid& queries, const block_grid& keys)
        : queries_(queries), keys_(keys), masked_(problem.mask != mask_rule::none),
          offset_(problem.causal_offset()) {}

    /// Keys that the query at token `row` sees: the first `keys_of_row` ones.
    [[nodiscard]] std::int64_t keys_of_row(std::int64_t row) const {
        return masked_ ? std::clamp<std::int64_t>(row + offset_ + 1, 0, keys_.tokens)
                       : keys_.tokens;
    }

    /// Keys that the last query of the block sees: the first `visible_keys` ones.
    [[nodiscard]] std::int64_t visible_keys(std::int64_t query_block) const {
        return keys_of_row(queries_.begin(query_block) + queries_.size(query_block) - 1);
    }

    /// Key blocks that some query of the block sees: the first `visible_blocks` ones.
    [[nodiscard]] std::int64_t visible_blocks(std::int64_t query_block) const {
        return (visible_keys(query_block) + keys_.block_tokens - 1) / keys_.block_tokens;
    }

    [[nodiscard]] pair_kind kind(std::int64_t query_block, std::int64_t key_block) const {
        if (!masked_) return pair_kind::dense;
        const std::int64_t first_key = keys_.begin(key_block);
        const std::int64_t last_key = first_key + keys_.size(key_block) - 1;
        const std::int64_t first_row = queries_.begin(query_block);
        const std::int64_t last_row = first_row + queries_.size(query_block) - 1;
        if (first_key > last_row + offset_) return pair_kind::none;
        return last_key <= first_row + offset_ ? pair_kind::dense : pair_kind::causal;
    }

    /// The number of visible (query, key) pairs of tokens.
    [[nodiscard]] std::int64_t pairs(std::int64_t query_block, std::int64_t key_block) const {
        const std::int64_t rows = queries_.size(query_block);
        const std::int64_t width = keys_.size(key_block);
        if (!masked_) return rows * width;
        return pairs_below_edge(queries_.begin(query_block) + offset_ - keys_.begin(key_block) + 1,
                                rows, width);
    }

    /// Σ over `rows` rows of the visible keys among `width`, when the first row sees `first` of
    /// them (negative or more than width: it misses the edge by that much) and each row one more.
    [[nodiscard]] static std::int64_t pairs_below_edge(std::int64_t first, std::int64_t rows,
                                                       std::int64_t width) {
        const std::int64_t empty_rows = std::clamp<std::int64_t>(-first, 0, rows);
        const std::int64_t full_rows = std::clamp<std::int64_t>(first + rows - width, 0, rows);
        const std::int64_t cut_rows = rows - empty_rows - full_rows;
        if (cut_rows <= 0) return full_rows * width;
        const std::int64_t shortest = first + empty_rows;
        return full_rows * width + cut_rows * shortest + cut_rows * (cut_rows - 1) / 2;
    }

  private:
    block_grid queries_;
    block_grid keys_;
    bool masked_;
    std::int64_t offset_;
};

} // namespace cqsa
