// SPDX-License-Identifier: Apache-2.0
#include "planner/divide.hpp"

#include "planner/difference_set.hpp"
#include "planner/error.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace cqsa {

QuorumSystem::QuorumSystem(std::int64_t c, std::vector<std::int64_t> set)
    : c_(c), set_(std::move(set)) {
    if (c < 1 || c > max_chunks) {
        throw Error(error_code::usage, "chunks must be from 1 to " + std::to_string(max_chunks) +
                                           ", but " + std::to_string(c) + " came");
    }
    const bool ascending = std::ranges::is_sorted(set_, std::ranges::less_equal{}) &&
                           !set_.empty() && set_.front() == 0 && set_.back() < c;
    if (!ascending || !is_difference_cover(c, set_)) {
        throw Error(error_code::usage, "the difference set of " + std::to_string(c) +
                                           " chunks must be ascending from 0 and have every "
                                           "residue as a difference, but the set that came is not");
    }
    base_.assign(c, -1);
    for (const std::int64_t x : set_) {
        for (const std::int64_t y : set_) {
            const std::int64_t d = y < x ? y - x + c : y - x;
            if (base_[d] >= 0) continue;
            base_[d] = x;
            if (d != 0 && 2 * d != c) base_[c - d] = y;
        }
    }
    below_.assign(c + 1, 0);
    for (const std::int64_t a : set_)
        below_[a + 1] = 1;
    for (std::int64_t x = 0; x < c; ++x)
        below_[x + 1] += below_[x];
}

std::vector<std::int64_t> QuorumSystem::quorum(std::int64_t s) const {
    std::vector<std::int64_t> members;
    members.reserve(set_.size());
    for (std::size_t place = 0; place < set_.size(); ++place) {
        members.push_back(member(s, static_cast<std::int64_t>(place)));
    }
    return members;
}

std::int64_t count_leaves(std::int64_t chunks, int depth) {
    if (depth < 1 || depth > max_depth) {
        throw Error(error_code::usage, "depth must be from 1 to " + std::to_string(max_depth) +
                                           ", but " + std::to_string(depth) + " came");
    }
    std::int64_t leaves = 1;
    for (int level = 0; level < depth; ++level) {
        if (__builtin_mul_overflow(leaves, chunks, &leaves)) {
            throw Error(error_code::usage, "chunks^depth must be below 2^63, but " +
                                               std::to_string(chunks) + "^" +
                                               std::to_string(depth) + " came");
        }
    }
    return leaves;
}

Divide::Divide(QuorumSystem quorums, int depth, std::int64_t query_blocks, std::int64_t key_blocks)
    : quorums_(std::move(quorums)), depth_(depth), leaves_(count_leaves(quorums_.chunks(), depth)),
      query_blocks_(query_blocks), key_blocks_(key_blocks) {}

std::int64_t Divide::owner(std::int64_t query_block, std::int64_t key_block) const {
    const std::int64_t c = quorums_.chunks();
    // The gathered position of an item, and the number of items gathered, one level down.
    const auto descend = [&](const chunk_cut& cut, std::int64_t s, std::int64_t item) {
        return quorums_.members_below(s, item / cut.chunk_items) * cut.chunk_items +
               item % cut.chunk_items;
    };
    const auto gathered = [&](const chunk_cut& cut, std::int64_t s) {
        const std::int64_t full = cut.items / cut.chunk_items;
        const std::int64_t rest = cut.items % cut.chunk_items;
        return quorums_.members_below(s, full) * cut.chunk_items +
               (rest > 0 && quorums_.contains(s, full) ? rest : 0);
    };
    chunk_cut queries(query_blocks_, c);
    chunk_cut keys(key_blocks_, c);
    std::int64_t leaf = 0;
    for (int level = 1;; ++level) {
        const std::int64_t s =
            quorums_.owner(query_block / queries.chunk_items, key_block / keys.chunk_items);
        leaf = leaf * c + s;
        if (level == depth_) return leaf;
        query_block = descend(queries, s, query_block);
        key_block = descend(keys, s, key_block);
        queries = chunk_cut(gathered(queries, s), c);
        keys = chunk_cut(gathered(keys, s), c);
    }
}

} // namespace cqsa
