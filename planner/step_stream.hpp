// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/plan.hpp"
#include "planner/strip_groups.hpp"

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
/// first, so that several workers end together. Their walks forwards begin with the last segment,
/// where the next group does not see it and at most one before it: at the end, among short tasks at
/// the diagonal, too little is computed while it and those after it are fetched, and it would push
/// out what the next walk begins with; of two buffers one is free at the beginning. The first walk
/// begins with up to three, all that the next group does not see: it finds nothing to push out;
/// with more it would compute too little for what it fetches at its beginning.
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
    struct segment_key {
        std::int64_t block;
        std::size_t run; ///< of leaf.keys
    };

    [[nodiscard]] bool query_major() const { return plan_.order == task_order::query_major; }
    void emit_idle(std::int64_t block);
    void enter_group();
    void enter_segment(std::int64_t segment);
    void emit(std::size_t member);
    void emit_completed(std::size_t member);
    [[nodiscard]] std::int64_t common_owner(const step& task) const;

    plan plan_;
    GroupStream groups_;
    const strip_group* group_ = nullptr;
    std::vector<std::int64_t> numbers_; ///< of the group's visits; −1 until the first step
    std::int64_t segment_ = 0;
    std::vector<segment_key> segment_keys_;
    std::size_t member_ = 0; ///< the group's strip whose turn it is
    std::int64_t visits_ = 0;
    std::int64_t idle_block_ = 0;           ///< next block to look at for one that sees no key
    std::vector<std::int32_t> visits_left_; ///< [query blocks]: visits until its state is complete
    std::vector<bool> touched_;             ///< [query blocks]: its state S_i was updated
    std::vector<bool> partial_touched_;     ///< [query blocks]: its partial of this leaf was
    std::vector<pair_kind> kinds_;
    std::deque<step> ready_;
};

} // namespace cqsa
