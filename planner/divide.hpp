// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

namespace cqsa {

/// The c quorums {(a + s) mod c : a ∈ A} of a difference cover A ⊂ Z_c, and which of them owns a
/// pair of chunks. Of the representations d = y − x, x, y ∈ A, of a residue one is chosen, the
/// same for d and −d, so that ownership is invariant under translation and every quorum owns
/// the same number of pairs:
///  - both orders of i ≠ j belong to the quorum s with i = x + s and j = y + s, where d = j − i;
///  - when d = c/2, which is its own negative, to the one for which min(i, j) = x + s;
///  - (i, i) belongs to quorum i (0 ∈ A).
/// A perfect difference set leaves no choice: each quorum owns k(k − 1) ordered pairs and one
/// diagonal.
class QuorumSystem {
  public:
    /// Throws Error(usage) unless `set` is an ascending difference cover of Z_c with 0 ∈ set.
    QuorumSystem(std::int64_t c, std::vector<std::int64_t> set);

    [[nodiscard]] std::int64_t chunks() const { return c_; }
    [[nodiscard]] const std::vector<std::int64_t>& set() const { return set_; }

    /// The one quorum that owns the ordered chunk pair (i, j).
    [[nodiscard]] std::int64_t owner(std::int64_t i, std::int64_t j) const {
        std::int64_t d = j - i;
        if (d < 0) d += c_;
        const std::int64_t s = (2 * d == c_ && j < i ? j : i) - base_[d];
        return s < 0 ? s + c_ : s;
    }

    /// How many chunks of quorum s come before `chunk` in [0, c]: the chunk's place in the quorum
    /// when it is a member.
    [[nodiscard]] std::int64_t members_below(std::int64_t s, std::int64_t chunk) const {
        const std::int64_t wrap = c_ - s;
        return chunk <= s ? below_[chunk + wrap] - below_[wrap]
                          : below_[chunk - s] + below_[c_] - below_[wrap];
    }

    [[nodiscard]] bool contains(std::int64_t s, std::int64_t chunk) const {
        return members_below(s, chunk + 1) != members_below(s, chunk);
    }

    /// The chunk at a place in [0, k) of quorum s.
    [[nodiscard]] std::int64_t member(std::int64_t s, std::int64_t place) const {
        const std::int64_t unwrapped = below_[c_ - s];
        const std::int64_t wrapped = below_[c_] - unwrapped;
        return place < wrapped ? set_[unwrapped + place] + s - c_ : set_[place - wrapped] + s;
    }

    /// The chunks of quorum s, ascending.
    [[nodiscard]] std::vector<std::int64_t> quorum(std::int64_t s) const;

  private:
    std::int64_t c_;
    std::vector<std::int64_t> set_;
    std::vector<std::int64_t> base_;  ///< x of the chosen representation of d, [c]
    std::vector<std::int64_t> below_; ///< elements of the set below x, [c + 1]
};

/// A sequence of `items` cut into chunks of equal length, the last ones short or empty.
struct chunk_cut {
    std::int64_t items = 0;
    std::int64_t chunk_items = 1;

    constexpr chunk_cut(std::int64_t item_count, std::int64_t chunks)
        : items(item_count),
          chunk_items(item_count > chunks ? (item_count + chunks - 1) / chunks : 1) {}

    [[nodiscard]] constexpr std::int64_t begin(std::int64_t chunk) const {
        const std::int64_t start = chunk * chunk_items;
        return start < items ? start : items;
    }
    [[nodiscard]] constexpr std::int64_t size(std::int64_t chunk) const {
        return begin(chunk + 1) - begin(chunk);
    }
};

/// No division with more than one chunk goes deeper: 2^62 leaves are the most that can be numbered.
constexpr int max_depth = 62;

/// c^depth. Throws Error(usage) unless 1 ≤ depth ≤ max_depth and the result is below 2⁶³.
std::int64_t count_leaves(std::int64_t chunks, int depth);

/// CQS Divide of a query side and a key side of blocks, to any depth: each side is cut into c
/// chunks, quorum s gathers its k chunks of both in ascending order, and the gathered sequences
/// are divided again. The leaves are the paths (s₁, …, s_depth), numbered Σ s_l · c^(depth − l);
/// a pair of blocks belongs to the leaf that owns it at every level.
class Divide {
  public:
    /// Throws Error(usage) as count_leaves does.
    Divide(QuorumSystem quorums, int depth, std::int64_t query_blocks, std::int64_t key_blocks);

    [[nodiscard]] const QuorumSystem& quorums() const { return quorums_; }
    [[nodiscard]] int depth() const { return depth_; }
    [[nodiscard]] std::int64_t leaves() const { return leaves_; }
    [[nodiscard]] std::int64_t query_blocks() const { return query_blocks_; }
    [[nodiscard]] std::int64_t key_blocks() const { return key_blocks_; }

    /// The one leaf that owns the pair.
    [[nodiscard]] std::int64_t owner(std::int64_t query_block, std::int64_t key_block) const;

  private:
    QuorumSystem quorums_;
    int depth_;
    std::int64_t leaves_;
    std::int64_t query_blocks_;
    std::int64_t key_blocks_;
};

} // namespace cqsa
