// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/make_plan.hpp"
#include "planner/plan.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace cqsa {

/// c, its difference set, depth and order: what the cuts of both sides depend on.
struct division {
    std::int64_t chunks = 1;
    std::vector<std::int64_t> difference_set;
    int depth = 1;
    task_order order = task_order::query_major;
};

/// The divisions worth trying: c as requested, or 1 and the perfect sets up to 133 that leave no
/// chunk empty; both orders, unless they are requested.
std::vector<division> candidate_divisions(const problem& problem, const plan_request& request,
                                          std::int64_t alignment);

/// One side of a plan: its blocks, and how many of them make a strip (or a segment).
struct side_cut {
    block_grid grid;
    std::int64_t piece_blocks = 1;
    bool whole_quorum = false; ///< a strip (segment) holds all queries (keys) of a quorum
    friend bool operator==(const side_cut&, const side_cut&) = default;
};

/// What candidate_cuts must respect.
struct cut_rules {
    std::int64_t alignment = 1;       ///< blocks are multiples of so many tokens
    std::int64_t pieces_multiple = 1; ///< so are the pieces of a chunk
    std::int64_t most_blocks = 1;     ///< of a piece, when blocks are free
    bool across_chunks = false;       ///< query_major: pieces of several whole chunks, too
    std::optional<std::int64_t> piece_tokens;
    std::optional<std::int64_t> block_tokens;
};

/// The cuts of one side worth trying, from the longest pieces to the shortest; never empty. Pieces
/// divide a chunk (of the last level) evenly or hold a whole quorum, unless block_tokens is given
/// and leaves no such cut.
std::vector<side_cut> candidate_cuts(const division& division, std::int64_t tokens,
                                     const cut_rules& rules);

/// Those whose chunks are as long as the chunks of `other`, the cut of a side with as many tokens:
/// then a causal mask cuts only the diagonal chunk pairs, and all quorums of a perfect set have
/// equal work. For divisions of depth 1.
std::vector<side_cut> matching_cuts(const division& division, const side_cut& other,
                                    std::int64_t alignment);

} // namespace cqsa
