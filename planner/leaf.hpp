// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/divide.hpp"

#include <cstdint>
#include <vector>

namespace cqsa {

/// Consecutive blocks within one chunk of every level of CQS Divide.
struct block_run {
    std::int64_t first = 0;    ///< block
    std::int64_t count = 0;    ///< blocks
    std::int64_t position = 0; ///< of the first block in the leaf's gathered sequence
};

/// One subsequence attention task of CQS Divide: the blocks it gathers and the pairs it owns.
struct leaf {
    std::int64_t index = 0; ///< in [0, c^depth)
    std::vector<block_run> queries;
    std::vector<block_run> keys;
    std::vector<char> owned; ///< [queries][keys], row-major: 1 where the leaf owns the pairs

    [[nodiscard]] std::int64_t query_blocks() const { return blocks(queries); }
    [[nodiscard]] std::int64_t key_blocks() const { return blocks(keys); }
    [[nodiscard]] bool owns(std::size_t query_run, std::size_t key_run) const {
        return owned[query_run * keys.size() + key_run] != 0;
    }

  private:
    static std::int64_t blocks(const std::vector<block_run>& runs) {
        return runs.empty() ? 0 : runs.back().position + runs.back().count;
    }
};

/// The leaves that own at least one pair of blocks, in the order of their numbers, one at a time.
/// Holds a reference to the Divide.
class LeafStream {
  public:
    explicit LeafStream(const Divide& divide);

    /// The next leaf, valid until the next call; nullptr at the end.
    const leaf* next();

  private:
    struct node {
        leaf here;
        std::vector<std::int64_t> children; ///< quorums to try; empty: all
        std::int64_t next_child = 0;
    };

    void open(node& parent) const;
    [[nodiscard]] bool descend(const leaf& parent, std::int64_t s, leaf& child) const;

    const Divide* divide_;
    std::vector<node> path_; ///< from the whole sequence to the parent of the current leaf
    leaf current_;
};

/// The whole sequence as one leaf that owns everything.
leaf whole_sequence(std::int64_t query_blocks, std::int64_t key_blocks);

} // namespace cqsa
