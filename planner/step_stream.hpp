// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/divide.hpp"
#include "planner/leaf.hpp"
#include "planner/plan.hpp"
#include "planner/visibility.hpp"

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

namespace cqsa {

/// Enumerates the steps of a plan in submission order, one at a time, in memory that does not grow
/// with their number (only with blocks and chunks).
///
/// The sequences to walk over are the leaves of CQS Divide, one after another (quorum_major), or
/// the whole sequence (query_major). Within one, its query blocks are cut into strips and its key
/// blocks into segments, both counted in the gathered sequence, so a strip or segment may hold
/// blocks of several chunks. Strips go in groups of `interleave`, which walk over the segments in
/// turn (A₁ B₁ A₂ B₂ …), one group forwards and the next backwards, so that a group starts with the
/// segments that the last one has just used. Strips of a group go in ascending order on the way
/// forwards and in descending order on the way back: under causality the chain (visit number modulo
/// interleave) that got the shorter strip gets the longer one next, and keeps in step with the
/// others. Causal query_major plans visit the groups from the last, which has most work, to the
/// first, so that several workers end together.
///
/// Query blocks that see no key come first, as finalize steps with fresh = true, and share the
/// number of the first visit. Visits are numbered in the order of their first steps.
/// A block's merge follows the step that made its partial state complete, and its finalize the
/// step that made its state complete; both carry the number of that visit.
class step_stream {
  public:
    /// Throws Error(usage) when the plan contradicts itself (no cover, sizes below one, chunks
    /// that are not those of the grids, a step of more than 2⁶³ flops, partial states in
    /// query_major).
    explicit step_stream(const plan& plan);

    step_stream(const step_stream&) = delete;
    step_stream& operator=(const step_stream&) = delete;

    /// The next step, or nothing after the last.
    std::optional<step> next();

  private:
    /// A query block of a strip, with the key positions of its first and its last visible owned
    /// pair in the leaf's gathered sequence.
    struct strip_block {
        std::int64_t block;
        std::size_t run;
        std::int64_t first_key;
        std::int64_t last_key;
    };
    struct strip_visit {
        std::int64_t number = -1; ///< given with its first step
        std::vector<strip_block> blocks;
    };
    struct segment_key {
        std::int64_t block;
        std::size_t run;
    };

    [[nodiscard]] bool query_major() const { return plan_.order == task_order::query_major; }
    void count_visits();
    bool next_leaf();
    bool next_group();
    void fill_strip(std::int64_t strip, strip_visit& visit) const;
    void enter_segment(std::int64_t segment);
    void emit(strip_visit& visit);
    void emit_completed(const strip_visit& visit);
    [[nodiscard]] std::optional<strip_block> work_of(const leaf& leaf, std::int64_t block,
                                                     std::size_t run) const;
    [[nodiscard]] std::int64_t common_owner(const step& task) const;

    plan plan_;
    Divide divide_;
    Visibility visibility_;
    LeafStream leaves_;
    leaf whole_;
    const leaf* leaf_ = nullptr;
    std::int64_t strips_ = 0;     ///< of the leaf
    std::int64_t next_strip_ = 0; ///< first strip of the next group, counted in visiting order
    bool forwards_ = false;       ///< of the current group
    std::vector<strip_visit> group_;
    std::size_t member_ = 0;
    std::int64_t segment_ = 0;
    std::int64_t last_segment_ = 0;
    std::vector<segment_key> segment_keys_;
    std::int64_t visits_ = 0;
    std::int64_t idle_block_ = 0;           ///< next block to look at for one that sees no key
    std::vector<std::int32_t> visits_left_; ///< [query blocks]: visits until its state is complete
    std::vector<bool> touched_;             ///< [query blocks]: its state S_i was updated
    std::vector<bool> partial_touched_;     ///< [query blocks]: its partial of this leaf was
    std::vector<pair_kind> kinds_;
    std::deque<step> ready_;
};

} // namespace cqsa
