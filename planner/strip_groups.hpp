// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/divide.hpp"
#include "planner/leaf.hpp"
#include "planner/plan.hpp"
#include "planner/visibility.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace cqsa {

/// A query block of a strip that sees some key of its leaf, with the positions of the key blocks of
/// its first and its last visible owned pair in the leaf's gathered sequence.
struct strip_block {
    std::int64_t block;
    std::size_t run; ///< of leaf.queries
    std::int64_t first_key;
    std::int64_t last_key;
};

/// The blocks of a strip that have work, ascending; never empty.
using strip_work = std::vector<strip_block>;

/// Strips that walk over the same segments of a leaf in turn.
struct strip_group {
    const cqsa::leaf* leaf = nullptr;
    std::vector<strip_work> strips; ///< in the order of their turns
    bool forwards = true;           ///< from first_segment up to last_segment; otherwise down
    std::int64_t first_segment = 0;
    std::int64_t last_segment = 0; ///< ≥ first_segment
    /// Where a walk forwards ends, ≤ last_segment: the segments beyond it come first.
    std::int64_t turn_segment = 0;

    [[nodiscard]] std::int64_t visited_first() const;
    /// Of a segment that is not visited last.
    [[nodiscard]] std::int64_t visited_after(std::int64_t segment) const;
    /// Of the segments from `first` to `last`.
    [[nodiscard]] std::int64_t visited_last(std::int64_t first, std::int64_t last) const;
    [[nodiscard]] std::int64_t visited_last() const {
        return visited_last(first_segment, last_segment);
    }
};

/// Enumerates the groups of strips of a plan in the order that step_stream documents.
class GroupStream {
  public:
    explicit GroupStream(const plan& plan);

    GroupStream(const GroupStream&) = delete;
    GroupStream& operator=(const GroupStream&) = delete;

    /// The next group, valid until the next call; nullptr at the end.
    const strip_group* next();

    [[nodiscard]] const Divide& divide() const { return divide_; }
    [[nodiscard]] const Visibility& visibility() const { return visibility_; }

  private:
    bool next_leaf();
    [[nodiscard]] std::int64_t turn_of(std::int64_t begin, std::int64_t end) const;
    void fill(std::int64_t strip_number, strip_work& blocks) const;
    [[nodiscard]] std::optional<strip_block> work_of(std::int64_t block, std::size_t run) const;

    Divide divide_;
    Visibility visibility_;
    LeafStream leaves_;
    leaf whole_;
    const leaf* leaf_ = nullptr;
    bool query_major_;
    bool from_last_; ///< groups are visited from the last to the first
    std::int64_t strip_blocks_;
    std::int64_t segment_blocks_;
    std::int64_t interleave_;
    std::int64_t strips_ = 0;     ///< of the leaf
    std::int64_t next_strip_ = 0; ///< in visiting order
    strip_group group_;
};

} // namespace cqsa
