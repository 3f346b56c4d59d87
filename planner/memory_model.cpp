// SPDX-License-Identifier: Apache-2.0
#include "planner/memory_model.hpp"

#include "planner/block_bytes.hpp"

#include <algorithm>
#include <array>

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

/// More results on their way to the host at a time help nobody.
constexpr std::int64_t most_results = 2;

bool results_replace_queries(const plan& plan) {
    const buffer_sizes sizes(plan);
    return plan.order == task_order::query_major && sizes.query == sizes.result;
}

std::int64_t strips_per_device(const plan& plan, const machine& machine) {
    return (plan.interleave + workers(machine) - 1) / workers(machine);
}

block_counts count_blocks(const plan& plan, const machine& machine) {
    const std::int64_t strips = strips_per_device(plan, machine);
    const std::int64_t blocks = plan.queries.blocks();
    const std::int64_t admitted = strips * std::min(plan.strip_blocks, blocks);
    const bool merged = plan.flow == state_flow::merged;
    // One in use, one on its way. A lone GPU is told what to fetch and what to drop; where StarPU
    // decides, strips that take turns would wait for it.
    const std::int64_t segments = strips > 1 && workers(machine) > 1 ? 3 : 2;
    // One being written and one on its way to the host. On a lone GPU the queries that a strip is
    // done with make room for its results, and the other strip goes on meanwhile.
    const bool alternate = strips > 1 && workers(machine) == 1 && results_replace_queries(plan);
    const std::int64_t results = alternate ? 1 : most_results;
    return {.strip_queries = std::min(admitted, blocks),
            .strip_states = merged ? admitted : std::min(admitted, blocks),
            .segment_keys = std::min(segments * plan.segment_blocks, plan.keys.blocks()),
            .results = std::min(results, blocks),
            .merged_states = merged ? std::min<std::int64_t>(2, blocks) : 0};
}

/// What a run holds on a device, by kind of handle. Some may be of the same size, or none.
std::array<device_buffers, 5> buffers_by_kind(const plan& plan, const machine& machine,
                                              const block_counts& counts) {
    const buffer_sizes sizes(plan);
    return {{{sizes.query, counts.strip_queries},
             {sizes.state, counts.strip_states + counts.merged_states},
             {sizes.key, counts.segment_keys},
             {sizes.result, counts.results},
             {workspace_bytes(machine.device_workspace, plan), 1}}};
}

/// All buffers of a run, by size.
std::vector<device_buffers> buffers_for(const plan& plan, const machine& machine,
                                        const block_counts& counts) {
    std::array<device_buffers, 5> kinds = buffers_by_kind(plan, machine, counts);
    std::ranges::sort(kinds, {}, &device_buffers::bytes);
    std::vector<device_buffers> buffers;
    for (const device_buffers& kind : kinds) {
        if (kind.bytes == 0 || kind.count == 0) continue;
        if (!buffers.empty() && buffers.back().bytes == kind.bytes) {
            buffers.back().count += kind.count;
        } else {
            buffers.push_back(kind);
        }
    }
    return buffers;
}

std::int64_t total_bytes(const plan& plan, const machine& machine, const block_counts& counts) {
    std::int64_t bytes = 0;
    for (const device_buffers& kind : buffers_by_kind(plan, machine, counts))
        bytes += kind.count * padded_bytes(kind.bytes);
    return rounded_up(bytes, machine.device_page_bytes);
}

} // namespace

buffer_sizes::buffer_sizes(const plan& plan)
    : query(query_block_bytes(plan.problem, plan.queries.block_tokens)),
      key(key_block_bytes(plan.problem, plan.keys.block_tokens)),
      state(state_block_bytes(plan.problem, plan.queries.block_tokens)),
      result(result_block_bytes(plan.problem, plan.queries.block_tokens)) {
    const std::int64_t larger = std::max(query, result);
    if (4 * larger <= 5 * std::min(query, result)) query = result = larger;
}

std::int64_t workers(const machine& machine) {
    const bool cpu = machine.cpu && (machine.devices == 0 ||
                                     cpu_helps(machine.cpu_rates.attend_flops_per_second,
                                               machine.device_rates.attend_flops_per_second));
    return machine.devices + (cpu ? 1 : 0);
}

working_set device_working_set(const plan& plan, const machine& machine) {
    const block_counts counts = count_blocks(plan, machine);
    const buffer_sizes sizes(plan);
    working_set set;
    set.strips_bytes = counts.strip_queries * sizes.query + counts.strip_states * sizes.state;
    set.segments_bytes = counts.segment_keys * sizes.key;
    set.results_bytes = counts.results * sizes.result;
    set.merges_bytes = counts.merged_states * sizes.state;
    set.workspace_bytes = workspace_bytes(machine.device_workspace, plan);
    set.allocated_bytes = total_bytes(plan, machine, counts);
    return set;
}

residency device_residency(const plan& plan, const machine& machine) {
    block_counts counts = count_blocks(plan, machine);
    const auto bytes_with = [&](const block_counts& kept) {
        return total_bytes(plan, machine, kept);
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
    const std::int64_t key_bytes = std::max<std::int64_t>(1, buffer_sizes(plan).key);
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
    block_counts more = counts;
    more.results = std::min(most_results, plan.queries.blocks());
    keep(more);
    kept.query_blocks = counts.strip_queries;
    kept.results = counts.results;
    kept.device_bytes = bytes_with(counts);
    kept.buffers = buffers_for(plan, machine, counts);
    return kept;
}

std::int64_t query_buffers(const plan& plan, const residency& kept) {
    return kept.query_blocks + (results_replace_queries(plan) ? kept.results : 0);
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
