// SPDX-License-Identifier: Apache-2.0
#include "codelets/attend/openmp.hpp"

#include "planner/error.hpp"

#include <algorithm>
#include <omp.h>
#include <string>

namespace cqsa::openmp {
namespace {

/// How a task is cut for a team. Heads of one batch entry that share keys and values form a
/// *group*; the groups are done in rounds, each packing its keys and values first, so that the
/// packed memory stays bounded. Within a round the query rows of every head are cut into tiles.
struct schedule {
    static constexpr std::size_t packed_goal_bytes = std::size_t{64} << 20;

    schedule(const attend_task& task, int threads, const cpu::attend_kernel& of_type)
        : kernel(of_type), groups(task.batch * task.kv_heads),
          heads_per_group(task.heads / task.kv_heads) {
        for (const key_block& block : task.keys) {
            packed_bytes += kernel.packed_bytes(block.tokens, task.head_dim);
            packs += pieces(block.tokens, kernel.pack_tokens);
        }
        const std::size_t fitting = packed_goal_bytes / std::max<std::size_t>(packed_bytes, 1);
        groups_per_round = std::clamp<std::int64_t>(static_cast<std::int64_t>(fitting), 1, groups);
        // Few tiles per thread would leave some threads idle at the end.
        while (rows > 16 && tiles_of_round(task) < 6 * std::int64_t{threads}) {
            rows /= 2;
        }
        tiles = tiles_of_head(task);
        scratch_bytes = kernel.scratch_bytes(rows, task.head_dim);
    }

    static std::int64_t pieces(std::int64_t n, std::int64_t size) { return (n + size - 1) / size; }
    [[nodiscard]] std::int64_t tiles_of_head(const attend_task& task) const {
        std::int64_t n = 0;
        for (const query_block& block : task.queries) {
            n += pieces(block.tokens, rows);
        }
        return n;
    }
    [[nodiscard]] std::int64_t tiles_of_round(const attend_task& task) const {
        return tiles_of_head(task) * heads_per_group * groups_per_round;
    }
    [[nodiscard]] std::size_t workspace_bytes(int threads) const {
        return packed_bytes * static_cast<std::size_t>(groups_per_round) +
               scratch_bytes * static_cast<std::size_t>(threads);
    }

    const cpu::attend_kernel& kernel;
    std::int64_t groups;
    std::int64_t heads_per_group;
    std::int64_t groups_per_round = 1;
    std::int64_t rows = 256;      ///< of a query tile
    std::int64_t tiles = 0;       ///< of one head
    std::int64_t packs = 0;       ///< pieces that one group's keys and values are packed in
    std::size_t packed_bytes = 0; ///< of one group
    std::size_t scratch_bytes = 0;
};

const std::byte* row_address(const tensor_view& x, data_type type, std::int64_t batch,
                             std::int64_t head, std::int64_t token) {
    return static_cast<const std::byte*>(x.data) +
           (batch * x.batch_stride + head * x.head_stride + token * x.token_stride) *
               bytes_of(type);
}

/// Packs piece `index` of a group's keys and values.
void pack_piece(const attend_task& task, const schedule& plan, std::int64_t group,
                std::int64_t index, std::byte* packed) {
    std::size_t j = 0;
    for (;; ++j) {
        const std::int64_t n = schedule::pieces(task.keys[j].tokens, plan.kernel.pack_tokens);
        if (index < n) {
            break;
        }
        index -= n;
        packed += plan.kernel.packed_bytes(task.keys[j].tokens, task.head_dim);
    }
    const key_block& block = task.keys[j];
    const std::int64_t batch = group / task.kv_heads;
    const std::int64_t head = group % task.kv_heads;
    cpu::pack_job job;
    job.k = row_address(block.k, task.type, batch, head, 0);
    job.v = row_address(block.v, task.type, batch, head, 0);
    job.k_stride = block.k.token_stride;
    job.v_stride = block.v.token_stride;
    job.tokens = block.tokens;
    job.head_dim = task.head_dim;
    job.first = index * plan.kernel.pack_tokens;
    job.packed = packed;
    plan.kernel.pack(job);
}

/// Computes query tile `index` of a head over all key blocks.
void compute_tile(const attend_task& task, const schedule& plan, std::int64_t batch,
                  std::int64_t head, std::int64_t index, const std::byte* packed,
                  std::byte* scratch) {
    std::size_t i = 0;
    for (;; ++i) {
        const std::int64_t n = schedule::pieces(task.queries[i].tokens, plan.rows);
        if (index < n) {
            break;
        }
        index -= n;
    }
    const query_block& block = task.queries[i];
    const std::int64_t first = index * plan.rows;
    const std::int64_t row = (batch * task.heads + head) * block.tokens + first;
    const std::int64_t state_bytes = bytes_of(state_type(task.type));
    cpu::tile_job job;
    job.q = row_address(block.q, task.type, batch, head, first);
    job.q_stride = block.q.token_stride;
    job.rows = std::min(plan.rows, block.tokens - first);
    job.head_dim = task.head_dim;
    job.scale = task.scale;
    job.acc = static_cast<std::byte*>(block.state.acc) + row * task.head_dim * state_bytes;
    job.m = static_cast<std::byte*>(block.state.m) + row * state_bytes;
    job.l = static_cast<std::byte*>(block.state.l) + row * state_bytes;
    job.scratch = scratch;
    plan.kernel.begin(job, block.fresh);
    for (std::size_t j = 0; j < task.keys.size(); ++j) {
        const key_block& keys = task.keys[j];
        const pair_kind pair = task.pairs[i * task.keys.size() + j];
        if (pair != pair_kind::none) {
            cpu::visible_block visible;
            visible.packed = packed;
            visible.tokens = keys.tokens;
            visible.diagonal =
                pair == pair_kind::dense
                    ? keys.tokens
                    : block.position + first + task.causal_offset - keys.position + 1;
            plan.kernel.update(job, visible);
        }
        packed += plan.kernel.packed_bytes(keys.tokens, task.head_dim);
    }
    plan.kernel.end(job);
}

} // namespace

const cpu::attend_kernel& attend_kernel_of(cpu_isa isa, data_type type) {
    switch (isa) {
#if defined(CQSA_X86_KERNELS)
    case cpu_isa::avx2:
        return cpu::avx2_attend(type);
    case cpu_isa::avx512:
        return cpu::avx512_attend(type);
    case cpu_isa::avx512bf16:
        return cpu::avx512bf16_attend(type);
    case cpu_isa::amx:
        return cpu::amx_attend(type);
#endif
    default:
        return cpu::portable_attend(type);
    }
}

std::size_t attend_workspace_bytes(const attend_task& task, int threads,
                                   const cpu::attend_kernel& kernel) {
    return schedule(task, threads, kernel).workspace_bytes(threads);
}

void attend(const attend_task& task, std::span<std::byte> workspace, int threads,
            const cpu::attend_kernel& kernel) {
    const schedule plan(task, threads, kernel);
    if (workspace.size() < plan.workspace_bytes(threads)) {
        throw Error(error_code::failure,
                    "attend needs a workspace of " + std::to_string(plan.workspace_bytes(threads)) +
                        " bytes, but was given " + std::to_string(workspace.size()) + ".");
    }
    std::byte* const packed =
        workspace.data() + plan.scratch_bytes * static_cast<std::size_t>(threads);
#pragma omp parallel num_threads(threads)
    {
        std::byte* const scratch =
            workspace.data() + plan.scratch_bytes * static_cast<std::size_t>(omp_get_thread_num());
        for (std::int64_t g0 = 0; g0 < plan.groups; g0 += plan.groups_per_round) {
            const std::int64_t groups = std::min(plan.groups_per_round, plan.groups - g0);
#pragma omp for schedule(dynamic)
            for (std::int64_t i = 0; i < groups * plan.packs; ++i) {
                const std::int64_t g = i / plan.packs;
                pack_piece(task, plan, g0 + g, i % plan.packs,
                           packed + plan.packed_bytes * static_cast<std::size_t>(g));
            }
            // Heads one after another, so that their keys stay in the cache; within a head the
            // last tiles first: under a causal mask these are the longest.
#pragma omp for schedule(dynamic)
            for (std::int64_t i = 0; i < groups * plan.heads_per_group * plan.tiles; ++i) {
                const std::int64_t g = i / plan.tiles / plan.heads_per_group;
                const std::int64_t in_group = i / plan.tiles % plan.heads_per_group;
                const std::int64_t kv_head = (g0 + g) % task.kv_heads;
                compute_tile(task, plan, (g0 + g) / task.kv_heads,
                             kv_head * plan.heads_per_group + in_group,
                             plan.tiles - 1 - i % plan.tiles,
                             packed + plan.packed_bytes * static_cast<std::size_t>(g), scratch);
            }
        }
    }
}

std::size_t attend_workspace_bytes(const attend_task& task, int threads) {
    return attend_workspace_bytes(task, threads, attend_kernel_of(selected_isa(), task.type));
}

void attend(const attend_task& task, std::span<std::byte> workspace, int threads) {
    attend(task, workspace, threads, attend_kernel_of(selected_isa(), task.type));
}

} // namespace cqsa::openmp
