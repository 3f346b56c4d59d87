// SPDX-License-Identifier: Apache-2.0
#include "planner/candidates.hpp"

#include "planner/difference_set.hpp"
#include "planner/divide.hpp"

#include <algorithm>
#include <cmath>

namespace cqsa {
namespace {

constexpr double most_deep_leaves = 512;

std::int64_t divided_up(std::int64_t a, std::int64_t b) {
    return (a + b - 1) / b;
}

/// Tokens or blocks of a chunk of the last level, rounded up at each.
std::int64_t last_chunk(const division& division, std::int64_t items) {
    const auto k = static_cast<std::int64_t>(division.difference_set.size());
    std::int64_t chunk = chunk_cut(items, division.chunks).chunk_items;
    for (int level = 1; level < division.depth; ++level) {
        chunk = chunk_cut(std::min(items, k * chunk), division.chunks).chunk_items;
    }
    return chunk;
}

/// Pieces per chunk to try: 1, 2, 3, 4, 6, 8, 12, … times `multiple`, up to `most`.
std::vector<std::int64_t> piece_counts(std::int64_t most, std::int64_t multiple) {
    std::vector<std::int64_t> counts;
    for (std::int64_t power = multiple; power <= most; power *= 2) {
        counts.push_back(power);
        if (power > multiple && power / 2 * 3 <= most) counts.push_back(power / 2 * 3);
    }
    return counts;
}

std::int64_t nearest_quotient(std::int64_t a, std::int64_t b) {
    return std::max<std::int64_t>(1, (a + b / 2) / b);
}

class CutList {
  public:
    CutList(const division& division, std::int64_t tokens, const cut_rules& rules)
        : division_(division), tokens_(tokens), rules_(rules),
          piece_tokens_(capped(rules.piece_tokens)), block_tokens_(capped(rules.block_tokens)),
          quorum_chunks_(division.order == task_order::quorum_major
                             ? static_cast<std::int64_t>(division.difference_set.size())
                             : 1) {}

    std::vector<side_cut> list() {
        if (block_tokens_) {
            list_for(grid_of(*block_tokens_));
        } else {
            list_for_free_blocks();
        }
        if (cuts_.empty()) {
            const block_grid grid = grid_of(block_tokens_.value_or(last_chunk(division_, tokens_)));
            add(grid, last_chunk(division_, grid.blocks()));
        }
        return std::move(cuts_);
    }

  private:
    [[nodiscard]] std::optional<std::int64_t>
    capped(const std::optional<std::int64_t>& tokens) const {
        if (!tokens) return tokens;
        return std::min(*tokens, std::max<std::int64_t>(1, tokens_));
    }

    [[nodiscard]] block_grid grid_of(std::int64_t block_tokens) const {
        const std::int64_t aligned = divided_up(block_tokens, rules_.alignment) * rules_.alignment;
        block_grid grid{tokens_, std::max<std::int64_t>(1, std::min(aligned, tokens_)), 1};
        grid.chunk_blocks = chunk_cut(grid.blocks(), division_.chunks).chunk_items;
        return grid;
    }

    /// Whether a piece of the wished length is rather a whole quorum than a part of a chunk.
    [[nodiscard]] bool wishes_quorum(std::int64_t chunk_tokens) const {
        return quorum_chunks_ > 1 && piece_tokens_ &&
               *piece_tokens_ > chunk_tokens * (1 + quorum_chunks_) / 2;
    }

    void list_for(const block_grid& grid) {
        const bool query_major = division_.order == task_order::query_major;
        const std::int64_t chunk = last_chunk(division_, grid.blocks());
        if (!piece_tokens_) {
            if (quorum_chunks_ > 1) add(grid, quorum_chunks_ * chunk, true);
            if (rules_.across_chunks) add_across(grid, chunk);
            for (const std::int64_t pieces : piece_counts(chunk, rules_.pieces_multiple)) {
                if (query_major || chunk % pieces == 0) add(grid, divided_up(chunk, pieces));
            }
            add(grid, 1);
            return;
        }
        const std::int64_t wish = nearest_quotient(*piece_tokens_, grid.block_tokens);
        if (wishes_quorum(chunk * grid.block_tokens)) {
            add(grid, quorum_chunks_ * chunk, true);
        } else if (query_major) {
            add(grid, std::min(wish, std::max<std::int64_t>(1, grid.blocks())));
        } else {
            add(grid, divided_up(chunk, nearest_quotient(chunk, wish)));
        }
    }

    void list_for_free_blocks() {
        const std::int64_t chunk_tokens = last_chunk(division_, tokens_);
        if (!piece_tokens_) {
            if (quorum_chunks_ > 1) add_whole_quorums(chunk_tokens);
            if (rules_.across_chunks) {
                const block_grid grid = grid_of(chunk_tokens);
                add_across(grid, last_chunk(division_, grid.blocks()));
            }
            const std::int64_t most = std::max<std::int64_t>(1, chunk_tokens / rules_.alignment);
            for (const std::int64_t pieces : piece_counts(most, rules_.pieces_multiple)) {
                add_pieces(chunk_tokens, pieces);
            }
        } else if (wishes_quorum(chunk_tokens)) {
            add_whole_quorums(chunk_tokens);
        } else if (rules_.across_chunks && *piece_tokens_ > chunk_tokens) {
            const block_grid grid = grid_of(chunk_tokens);
            const std::int64_t blocks = std::max<std::int64_t>(1, grid.blocks());
            add(grid, std::min(blocks, nearest_quotient(*piece_tokens_, grid.block_tokens)));
        } else {
            add_pieces(chunk_tokens, nearest_quotient(chunk_tokens, *piece_tokens_));
        }
    }

    void add(const block_grid& grid, std::int64_t piece_blocks, bool whole_quorum = false) {
        const side_cut cut{grid, piece_blocks, whole_quorum};
        if (cuts_.empty() || !(cuts_.back() == cut)) cuts_.push_back(cut);
    }

    void add_across(const block_grid& grid, std::int64_t chunk) {
        std::int64_t chunks = 2;
        while (chunks * chunk < grid.blocks())
            chunks *= 2;
        for (; chunks > 1; chunks /= 2)
            add(grid, chunks * chunk);
    }

    void add_whole_quorums(std::int64_t chunk_tokens) {
        for (std::int64_t blocks = 1; blocks <= rules_.most_blocks; ++blocks) {
            const block_grid grid = grid_of(divided_up(chunk_tokens, blocks));
            add(grid, quorum_chunks_ * last_chunk(division_, grid.blocks()), true);
        }
    }

    /// Chunks of about `pieces` pieces of one or more blocks. Aligned blocks may make a few pieces
    /// less; then slightly shorter blocks may make a number that suits.
    void add_pieces(std::int64_t chunk_tokens, std::int64_t pieces) {
        for (std::int64_t blocks = 1; blocks <= rules_.most_blocks; ++blocks) {
            block_grid grid = grid_of(divided_up(chunk_tokens, pieces * blocks));
            for (int attempt = 0; attempt < 4; ++attempt) {
                const std::int64_t chunk = last_chunk(division_, grid.blocks());
                const bool whole = chunk % blocks == 0;
                if (whole && chunk / blocks % rules_.pieces_multiple == 0) {
                    add(grid, blocks);
                    break;
                }
                if (grid.block_tokens <= rules_.alignment) break;
                grid = grid_of(grid.block_tokens - rules_.alignment);
            }
        }
    }

    const division& division_;
    std::int64_t tokens_;
    const cut_rules& rules_;
    std::optional<std::int64_t> piece_tokens_;
    std::optional<std::int64_t> block_tokens_;
    std::int64_t quorum_chunks_;
    std::vector<side_cut> cuts_;
};

} // namespace

std::vector<division> candidate_divisions(const problem& problem, const plan_request& request,
                                          std::int64_t alignment) {
    std::vector<std::int64_t> chunks;
    const int depth = request.depth.value_or(1);
    if (request.chunks) {
        chunks = {*request.chunks};
    } else {
        const std::int64_t aligned = std::min(divided_up(problem.tokens, alignment),
                                              divided_up(problem.kv_tokens, alignment));
        for (const std::int64_t c : {133, 91, 73, 57, 31, 21, 13, 7, 3, 1}) {
            // Who asks for depth wants a division, and more leaves than these only cost time.
            const bool shallow = depth == 1 || (c > 1 && std::pow(c, depth) <= most_deep_leaves);
            if (c <= aligned && shallow) chunks.push_back(c);
        }
        if (chunks.empty()) chunks = {1};
    }
    std::vector<division> divisions;
    for (const std::int64_t c : chunks) {
        const auto set = difference_set(c);
        count_leaves(c, depth);
        for (const auto order : {task_order::query_major, task_order::quorum_major}) {
            if (request.order && *request.order != order) continue;
            // One chunk in quorum-major order is the query-major order.
            const bool same = order == task_order::quorum_major && c == 1 && chunks.size() > 1;
            if (!same || request.order) divisions.push_back({c, set, depth, order});
        }
    }
    return divisions;
}

std::vector<side_cut> matching_cuts(const division& division, const side_cut& other,
                                    std::int64_t alignment) {
    const std::int64_t chunk_tokens = other.grid.chunk_blocks * other.grid.block_tokens;
    if (other.whole_quorum || chunk_tokens >= other.grid.tokens) return {other};
    const std::int64_t chunks = division.chunks;
    std::vector<side_cut> cuts;
    const auto add = [&](std::int64_t blocks) {
        const std::int64_t block_tokens = chunk_tokens / blocks;
        if (chunk_tokens % blocks != 0 || block_tokens % alignment != 0) return;
        const block_grid grid{other.grid.tokens, block_tokens, blocks};
        // So many blocks may be missing from the last chunks that the others would shrink.
        if (chunk_cut(grid.blocks(), chunks).chunk_items != blocks) return;
        cuts.push_back({grid, 1, false});
    };
    for (const std::int64_t blocks : piece_counts(chunk_tokens / alignment, 1))
        add(blocks);
    for (const std::int64_t parts : {1, 2, 3, 4})
        add(other.grid.chunk_blocks * parts);
    std::ranges::sort(cuts, std::ranges::greater{},
                      [](const side_cut& cut) { return cut.grid.block_tokens; });
    cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
    return cuts;
}

std::vector<side_cut> candidate_cuts(const division& division, std::int64_t tokens,
                                     const cut_rules& rules) {
    return CutList(division, tokens, rules).list();
}

} // namespace cqsa
