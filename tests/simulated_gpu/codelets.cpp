// SPDX-License-Identifier: Apache-2.0
// CUDA codelets for simulated GPUs: the OpenMP kernels, at the time that a GPU would take.
#include "codelets/attend/attend.hpp"
#include "codelets/finalize/finalize.hpp"
#include "codelets/merge/merge.hpp"
#include "planner/visibility.hpp"
#include "tests/simulated_gpu/simulated_gpu.hpp"

#include <algorithm>
#include <memory>
#include <vector>

namespace cqsa::cuda {
namespace {

double visible_pairs_of(const attend_task& task) {
    double pairs = 0;
    for (std::size_t i = 0; i < task.queries.size(); ++i) {
        for (std::size_t j = 0; j < task.keys.size(); ++j) {
            const query_block& query = task.queries[i];
            const key_block& key = task.keys[j];
            const pair_kind kind = task.pairs[i * task.keys.size() + j];
            if (kind == pair_kind::none) continue;
            pairs += static_cast<double>(
                kind == pair_kind::dense
                    ? query.tokens * key.tokens
                    : Visibility::pairs_below_edge(query.position + task.causal_offset -
                                                       key.position + 1,
                                                   query.tokens, key.tokens));
        }
    }
    return pairs;
}

double state_bytes(data_type type, std::int64_t rows, std::int64_t head_dim) {
    return static_cast<double>(rows * (head_dim + 2) * bytes_of(state_type(type)));
}

constexpr std::int64_t tile_rows = 192; // as the Hopper kernels

// What tiles, on 132 multiprocessors, take beside their products: they read and write their states.
double tile_end_seconds(const attend_task& task) {
    std::int64_t tiles = 0;
    for (const query_block& query : task.queries)
        tiles += task.batch * task.heads * ((query.tokens + tile_rows - 1) / tile_rows);
    return std::max(1.0, static_cast<double>(tiles) / 132) * simulated::current().tile_seconds *
           static_cast<double>(task.head_dim) / 64;
}

} // namespace

std::string attend_unsupported(const attend_task& task, int /*device*/) {
    return task.type == data_type::f64 ? "attend on the GPU has no kernel for f64." : "";
}

std::size_t attend_workspace_limit(const attend_task& task, const gpu_kind& /*gpu*/) {
    // As the Hopper kernels: two partial tiles for each of 132 multiprocessors.
    return static_cast<std::size_t>(132 * 2 * tile_rows) * (task.head_dim + 2) * sizeof(float);
}

std::size_t attend_workspace_bytes(const attend_task& task, int /*device*/) {
    return attend_workspace_limit(task, {});
}

std::int64_t attend_block_multiple(const attend_task& /*task*/, const gpu_kind& /*gpu*/) {
    return 384;
}

attend_tile attend_tile_of(const attend_task& /*task*/, const gpu_kind& /*gpu*/) {
    return {.rows = tile_rows};
}

void attend(const attend_task& task, std::span<std::byte> /*workspace*/, void* stream) {
    if (simulated::current().computes) {
        std::vector<std::byte> workspace(openmp::attend_workspace_bytes(task, 1) + 64);
        void* begin = workspace.data();
        std::size_t space = workspace.size();
        std::align(64, space - 64, begin, space);
        openmp::attend(task, {static_cast<std::byte*>(begin), space}, 1);
    }
    const double flops =
        4 * visible_pairs_of(task) * static_cast<double>(task.batch * task.heads * task.head_dim);
    simulated::enqueue_kernel(stream, flops / simulated::current().attend_flops_per_second +
                                          tile_end_seconds(task));
}

void merge(const merge_task& task, void* stream) {
    if (simulated::current().computes) openmp::merge(task, 1);
    simulated::enqueue_kernel(stream, 3 * state_bytes(task.type, task.rows, task.head_dim) /
                                          simulated::current().memory_bytes_per_second);
}

void finalize(const finalize_task& task, void* stream) {
    if (simulated::current().computes) openmp::finalize(task, 1);
    const std::int64_t rows = task.batch * task.heads * task.tokens;
    simulated::enqueue_kernel(stream, 1.5 * state_bytes(task.type, rows, task.head_dim) /
                                          simulated::current().memory_bytes_per_second);
}

} // namespace cqsa::cuda
