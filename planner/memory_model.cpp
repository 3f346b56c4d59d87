// SPDX-License-Identifier: Apache-2.0
#include "planner/memory_model.hpp"

#include "planner/block_bytes.hpp"

#include <algorithm>

namespace cqsa {
namespace {

std::int64_t rounded_up(std::int64_t value, std::int64_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

std::int64_t workspace_bytes(const workspace_model& model, const plan& plan) {
    if (!model) return 0;
    return model(plan.problem,
                 std::min(plan.queries.tokens, plan.strip_blocks * plan.queries.block_tokens),
                 std::min(plan.keys.tokens, plan.segment_blocks * plan.keys.block_tokens));
}

/// Blocks of the handles that live on a device, and their sizes.
struct block_counts {
    std::int64_t strip_queries;
    std::int64_t strip_states;
    std::int64_t segment_keys;
    std::int64_t results;
    std::int64_t merged_states;
};

block_counts count_blocks(const plan& plan, std::int64_t strips) {
    const std::int64_t blocks = plan.queries.blocks();
    const std::int64_t admitted = strips * std::min(plan.strip_blocks, blocks);
    const bool merged = plan.flow == state_flow::merged;
    return {.strip_queries = std::min(admitted, blocks),
            .strip_states = merged ? admitted : std::min(admitted, blocks),
            .segment_keys = std::min(2 * plan.segment_blocks, plan.keys.blocks()),
            .results = std::min<std::int64_t>(2, blocks),
            .merged_states = merged ? std::min<std::int64_t>(2, blocks) : 0};
}

AllocatedBytes allocate(const plan& plan, const machine& machine, const block_counts& counts) {
    const problem& p = plan.problem;
    AllocatedBytes bytes(machine.device_allocation);
    bytes.add(counts.strip_queries, query_block_bytes(p, plan.queries.block_tokens));
    bytes.add(counts.strip_states + counts.merged_states,
              state_block_bytes(p, plan.queries.block_tokens));
    bytes.add(counts.segment_keys, key_block_bytes(p, plan.keys.block_tokens));
    bytes.add(counts.results, result_block_bytes(p, plan.queries.block_tokens));
    return bytes;
}

std::int64_t strips_per_device(const plan& plan, const machine& machine) {
    return (plan.interleave + workers(machine) - 1) / workers(machine);
}

} // namespace

void AllocatedBytes::add(std::int64_t handles, std::int64_t handle_bytes) {
    if (rules_.slab_bytes > 0 && handle_bytes <= rules_.slab_limit_bytes) {
        small_bytes_ += handles * handle_bytes;
    } else {
        large_bytes_ += handles * rounded_up(handle_bytes, rules_.granularity_bytes);
    }
}

std::int64_t AllocatedBytes::total() const {
    return large_bytes_ + (small_bytes_ > 0 ? rounded_up(small_bytes_, rules_.slab_bytes) : 0);
}

std::int64_t workers(const machine& machine) {
    return machine.devices + (machine.cpu ? 1 : 0);
}

working_set device_working_set(const plan& plan, const machine& machine) {
    const problem& p = plan.problem;
    const block_counts counts = count_blocks(plan, strips_per_device(plan, machine));
    const std::int64_t state_bytes = state_block_bytes(p, plan.queries.block_tokens);
    working_set set;
    set.strips_bytes = counts.strip_queries * query_block_bytes(p, plan.queries.block_tokens) +
                       counts.strip_states * state_bytes;
    set.segments_bytes = counts.segment_keys * key_block_bytes(p, plan.keys.block_tokens);
    set.results_bytes = counts.results * result_block_bytes(p, plan.queries.block_tokens);
    set.merges_bytes = counts.merged_states * state_bytes;
    set.workspace_bytes = workspace_bytes(machine.device_workspace, plan);
    AllocatedBytes bytes = allocate(plan, machine, counts);
    set.outside_slabs = bytes.outside_slabs();
    if (set.workspace_bytes > 0) bytes.add(1, set.workspace_bytes);
    set.allocated_bytes = bytes.total();
    return set;
}

residency device_residency(const plan& plan, const machine& machine) {
    const problem& p = plan.problem;
    block_counts counts = count_blocks(plan, strips_per_device(plan, machine));
    const std::int64_t workspace = workspace_bytes(machine.device_workspace, plan);
    const auto bytes_with = [&](const block_counts& kept) {
        AllocatedBytes bytes = allocate(plan, machine, kept);
        if (workspace > 0) bytes.add(1, workspace);
        return bytes.total();
    };
    const auto keep = [&](const block_counts& more) {
        if (bytes_with(more) > machine.device_bytes) return false;
        counts = more;
        return true;
    };
    residency kept;
    if (plan.order == task_order::quorum_major) {
        block_counts more = counts;
        auto& states = plan.flow == state_flow::merged ? more.merged_states : more.strip_states;
        states = plan.queries.blocks();
        kept.states = keep(more);
    }
    const std::int64_t key_bytes =
        std::max<std::int64_t>(1, key_block_bytes(p, plan.keys.block_tokens));
    const std::int64_t spare = machine.device_bytes - bytes_with(counts);
    std::int64_t low = 0;
    std::int64_t high =
        std::clamp<std::int64_t>(spare / key_bytes, 0, plan.keys.blocks() - counts.segment_keys);
    const block_counts without = counts;
    while (low < high) {
        const std::int64_t middle = (low + high + 1) / 2;
        block_counts more = without;
        more.segment_keys += middle;
        if (keep(more)) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    kept.key_blocks = counts.segment_keys;
    if (plan.order == task_order::quorum_major) {
        block_counts more = counts;
        more.strip_queries = plan.queries.blocks();
        kept.queries = keep(more);
    }
    kept.device_bytes = bytes_with(counts);
    return kept;
}

std::int64_t host_bytes(const plan& plan, const machine& machine) {
    const std::int64_t blocks = plan.queries.blocks();
    const std::int64_t state_bytes = state_block_bytes(plan.problem, plan.queries.block_tokens);
    const std::int64_t admitted = plan.interleave * std::min(plan.strip_blocks, blocks);
    const bool merged = plan.flow == state_flow::merged;
    std::int64_t states = 0;
    if (plan.order == task_order::quorum_major) {
        const bool on_devices = machine.devices > 0 && device_residency(plan, machine).states;
        if (machine.cpu || !on_devices) states += blocks;
        if (machine.cpu && merged) states += admitted + std::min(plan.strip_blocks, blocks);
    } else if (machine.cpu) {
        // A strip's states are still being released when the next one's are admitted.
        states += std::min(admitted + plan.strip_blocks, blocks);
    }
    const std::int64_t workspace =
        machine.cpu ? workspace_bytes(machine.cpu_workspace, plan) : std::int64_t{0};
    return states * state_bytes + workspace;
}

} // namespace cqsa
