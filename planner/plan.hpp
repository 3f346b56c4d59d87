// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/problem.hpp"

#include <cstdint>
#include <vector>

namespace cqsa {

/// One side of the attention (queries, or keys and values) cut into blocks, the unit of data: all
/// blocks are equal but the last. A chunk, the unit of CQS Divide, is `chunk_blocks` blocks.
struct block_grid {
    std::int64_t tokens = 0;
    std::int64_t block_tokens = 1;
    std::int64_t chunk_blocks = 1;

    [[nodiscard]] constexpr std::int64_t blocks() const {
        return (tokens + block_tokens - 1) / block_tokens;
    }
    [[nodiscard]] constexpr std::int64_t begin(std::int64_t block) const {
        return block * block_tokens;
    }
    [[nodiscard]] constexpr std::int64_t size(std::int64_t block) const {
        const std::int64_t rest = tokens - begin(block);
        return rest < block_tokens ? rest : block_tokens;
    }
    [[nodiscard]] constexpr std::int64_t chunk_of(std::int64_t block) const {
        return block / chunk_blocks;
    }
    friend bool operator==(const block_grid&, const block_grid&) = default;
};

/// Order of the tasks. Ownership of the pairs is the same in both.
enum class task_order : std::uint8_t {
    quorum_major, ///< a quorum's tasks together: a device needs k/c of the data at a time
    query_major,  ///< all tasks of a query strip together: its state never leaves the device
};

/// Where a strip's state lives between quorums (quorum_major only; query_major has one visit).
enum class state_flow : std::uint8_t {
    continued, ///< the strip updates the blocks' states S_i themselves, quorum after quorum
    merged,    ///< each quorum makes partial states P_{s,i} that merge tasks add to S_i: quorums
               ///< are independent tasks, for several workers, resume and retry
};

/// How a query block meets a key block.
enum class pair_kind : std::uint8_t {
    none,   ///< not in this task (not owned, or masked out altogether)
    dense,  ///< every key of the block is visible to every query of the block
    causal, ///< the mask's edge crosses the pair
};

enum class step_kind : std::uint8_t { attend, merge, finalize };

/// One task of the graph. Steps come in submission order; a step that updates a block's state comes
/// after all steps that updated the same state before.
///   attend:   state of each query block ⊕= attention over the key blocks that `pairs` names.
///             The state is the partial P_{quorum,i} when `partial`, otherwise S_i.
///   merge:    S_i ⊕= P_{quorum,i} for the one block in `queries`; P_{quorum,i} is dropped.
///   finalize: O_i, LSE_i from S_i for the one block in `queries`; S_i is dropped.
struct step {
    step_kind kind = step_kind::attend;
    std::int64_t quorum = -1; ///< the quorum that owns the pairs, in [0, chunks^depth); -1 when the
                              ///< pairs are of several quorums (query_major only), and for finalize
    std::int64_t strip = 0;   ///< running number of the strip's visit
    bool partial = false;
    std::vector<std::int64_t> queries; ///< query blocks, ascending
    std::vector<std::int64_t> keys;    ///< key blocks, ascending (attend only)
    std::vector<pair_kind> pairs;      ///< [queries][keys], row-major (attend only)
    std::vector<bool> fresh;           ///< [queries]: nothing has updated this state before, so it
                                       ///< counts as empty (merge and finalize too)
    std::int64_t flops = 0; ///< 4·head_dim per visible (query, key) pair, head and batch
    friend bool operator==(const step&, const step&) = default;
};

/// What a run costs, predicted by the planner or measured by the runtime.
struct cost {
    double seconds = 0;
    std::int64_t device_bytes = 0; ///< peak on the fullest device node, CUDA context excluded
    std::int64_t host_bytes = 0;   ///< peak of what the run adds to the caller's arrays
    double flops = 0;              ///< exact up to 2^53; 1e9 tokens pass 2^63
    std::int64_t h2d_bytes = 0;
    std::int64_t d2h_bytes = 0;
};

/// A complete decision. A plain value: it can be printed, compared and tested. The tasks themselves
/// are enumerated by step_stream (planner/step_stream.hpp), so a plan's size does not grow with N.
struct plan {
    cqsa::problem problem;
    std::int64_t chunks = 1;                  ///< c
    std::vector<std::int64_t> difference_set; ///< A ⊂ Z_c; quorum s is {(a + s) mod c : a ∈ A}
    int depth = 1;
    task_order order = task_order::query_major;
    state_flow flow = state_flow::continued;
    block_grid queries;
    block_grid keys;
    std::int64_t strip_blocks = 1;   ///< query blocks that are on the device together, with state
    std::int64_t segment_blocks = 1; ///< key blocks of one attend task, streamed past the strip
    std::int64_t interleave = 1;     ///< strips that walk over the same segments in turn
    std::int64_t tasks = 0;          ///< attend steps
    std::int64_t merges = 0;         ///< merge steps
    cost predicted;
    bool measured_rates = false; ///< `predicted` follows from rates measured on this machine
};

} // namespace cqsa
