// SPDX-License-Identifier: Apache-2.0
#include "runtime/machine.hpp"

#include "codelets/attend/attend.hpp"
#include "codelets/block_pool.hpp"
#include "runtime/assumed_rates.hpp"
#include "runtime/cpu_team.hpp"
#include "runtime/environment.hpp"
#include "runtime/gpu.hpp"
#include "runtime/host_memory.hpp"
#include "runtime/stored_rates.hpp"

#include <starpu.h>

#include <algorithm>

namespace cqsa {
namespace {

// Left to the system and to the other programs of the machine.
constexpr double usable_share = 0.9;

// The task with so many query and key tokens, as far as the size of its workspace goes.
template<class Visit>
auto with_task_of(const problem& problem, std::int64_t strip_tokens, std::int64_t segment_tokens,
                  Visit visit) {
    const auto packed = [&](std::int64_t heads, std::int64_t tokens) -> tensor_view {
        const std::int64_t head_stride = tokens * problem.head_dim;
        return {nullptr, heads * head_stride, head_stride, problem.head_dim};
    };
    const query_block query{.q = packed(problem.heads, strip_tokens),
                            .state = {},
                            .tokens = strip_tokens,
                            .position = 0,
                            .fresh = true};
    const tensor_view keys = packed(problem.kv_heads, segment_tokens);
    const key_block key{.k = keys, .v = keys, .tokens = segment_tokens, .position = 0};
    const pair_kind pair = problem.mask == mask_rule::none ? pair_kind::dense : pair_kind::causal;
    return visit(attend_task{.type = problem.type,
                             .batch = problem.batch,
                             .heads = problem.heads,
                             .kv_heads = problem.kv_heads,
                             .head_dim = problem.head_dim,
                             .scale = 1,
                             .causal_offset = problem.causal_offset(),
                             .queries = {&query, 1},
                             .keys = {&key, 1},
                             .pairs = {&pair, 1}});
}

void add_cpu(machine& node, const problem& problem, int threads) {
    node.cpu = true;
    node.cpu_rates = assumed_cpu_rates(problem, threads);
    use_stored_rates(node.cpu_rates, cpu_identity(), problem, threads);
    node.cpu_workspace = [threads](const cqsa::problem& size, std::int64_t strip_tokens,
                                   std::int64_t segment_tokens) {
        return with_task_of(size, strip_tokens, segment_tokens, [&](const attend_task& task) {
            return static_cast<std::int64_t>(openmp::attend_workspace_bytes(task, threads));
        });
    };
}

#ifdef CQSA_WITH_CUDA
// Device memory to give attend beside its operands, for parts of tiles: all it can use, but at most
// a sixteenth of the budget, which matters more to the strips. Where a strip's tiles fill the GPU
// one and a half times, only a run's last launch is worked in parts, and that may cost a
// sixty-fourth.
workspace_model gpu_workspace(const problem& problem, std::int64_t device_bytes,
                              const cuda::gpu_kind& gpu, const machine& node) {
    const std::int64_t most = with_task_of(problem, 1, 1, [&](const attend_task& task) {
        return static_cast<std::int64_t>(cuda::attend_workspace_limit(task, gpu));
    });
    const auto limited = [most, device_bytes](std::int64_t share) {
        constexpr auto least = static_cast<std::int64_t>(cuda::attend_workspace_minimum);
        return std::clamp(device_bytes / share / least * least, least, std::max(least, most));
    };
    const std::int64_t rows = node.tile_rows;
    const std::int64_t heads = problem.batch * problem.heads;
    const std::int64_t filling_tiles = (3 * node.tiles_at_once + 1) / 2;
    return [=, short_launches = limited(16), long_launches = limited(64)](
               const cqsa::problem&, std::int64_t strip_tokens, std::int64_t) {
        const std::int64_t tiles = (strip_tokens + rows - 1) / rows * heads;
        return tiles < filling_tiles ? short_launches : long_launches;
    };
}
#endif

void add_gpus(machine& node, const problem& problem, int count, const gpu_facts& gpu,
              std::int64_t bytes) {
    node.devices = count;
    node.device_bytes = bytes;
    node.device_rates = assumed_gpu_rates(problem, gpu);
    use_stored_rates(node.device_rates, gpu_identity(gpu, count), problem, 0);
    node.tiles_at_once = gpu.multiprocessors;
#ifdef CQSA_WITH_CUDA
    const cuda::gpu_kind kind{gpu.major, gpu.multiprocessors};
    node.alignment = with_task_of(problem, 1, 1, [&](const attend_task& task) {
        return cuda::attend_block_multiple(task, kind);
    });
    const cuda::attend_tile tile = with_task_of(
        problem, 1, 1, [&](const attend_task& task) { return cuda::attend_tile_of(task, kind); });
    node.tile_rows = tile.rows;
    node.tiles_at_once = gpu.multiprocessors / tile.multiprocessors;
    node.device_workspace = gpu_workspace(problem, bytes, kind, node);
#endif
}

std::int64_t host_budget(const attend_options& options) {
    if (options.host_bytes) return *options.host_bytes;
    const double available = static_cast<double>(read_host_memory().available_bytes);
    const auto usable = static_cast<std::int64_t>(usable_share * available);
    if (const auto limit = environment_number("STARPU_LIMIT_CPU_MEM")) {
        return std::min(usable, std::int64_t{*limit} << 20);
    }
    return usable;
}

// What a run may take of a GPU's memory: what is free and what StarPU's limit leaves, where memory
// that is reserved for runs already counts as free.
std::int64_t available_bytes(int worker, const std::vector<gpu_facts>& gpus) {
    const unsigned node = starpu_worker_get_memory_node(worker);
    const auto limit = static_cast<std::int64_t>(starpu_memory_get_available(node));
    const gpu_facts& gpu = gpus.at(static_cast<std::size_t>(starpu_worker_get_devid(worker)));
    const auto free = static_cast<std::int64_t>(usable_share * static_cast<double>(gpu.free_bytes));
    return std::min(limit, free) + reserved_bytes(node);
}

} // namespace

#ifdef CQSA_WITH_CUDA

std::string gpus_unsupported(const StarpuContext& context, const problem& problem) {
    for (const int worker : context.cuda_workers()) {
        const int device = starpu_worker_get_devid(worker);
        std::string why = with_task_of(problem, 1, 1, [&](const attend_task& task) {
            return cuda::attend_unsupported(task, device);
        });
        if (!why.empty()) return why;
    }
    return {};
}

#else

std::string gpus_unsupported(const StarpuContext& /*context*/, const problem& /*problem*/) {
    return {};
}

#endif

machine machine_of(const StarpuContext& context, const problem& problem,
                   const attend_options& options, bool with_gpus) {
    machine node;
    node.host_bytes = host_budget(options);
    if (!context.cpu_workers().empty()) {
        const auto workers = static_cast<int>(context.cpu_workers().size());
        add_cpu(node, problem, workers * context.cpu_team_threads());
    }
    if (with_gpus) {
        const std::vector<gpu_facts> gpus = list_gpus();
        // The smallest memory rules: one plan serves all devices.
        std::int64_t bytes =
            options.device_bytes.value_or(std::numeric_limits<std::int64_t>::max());
        for (const int worker : context.cuda_workers()) {
            bytes = std::min(bytes, available_bytes(worker, gpus));
        }
        add_gpus(node, problem, static_cast<int>(context.cuda_workers().size()), gpus.front(),
                 bytes);
    }
    return node;
}

machine machine_for_plan(const problem& problem, const attend_options& options) {
    machine node;
    node.host_bytes = host_budget(options);
    std::vector<gpu_facts> gpus;
    if (options.workers != worker_set::cpu) {
        gpus = list_gpus();
        const bool wanted = options.workers == worker_set::cuda || options.device_bytes.has_value();
        if (gpus.empty() && wanted) gpus.push_back(reference_gpu());
    }
    if (!gpus.empty()) {
        const auto free = static_cast<double>(gpus.front().free_bytes);
        add_gpus(node, problem, static_cast<int>(gpus.size()), gpus.front(),
                 options.device_bytes.value_or(static_cast<std::int64_t>(usable_share * free)));
    }
    if (options.workers != worker_set::cuda) {
        add_cpu(node, problem, options.cpu_threads > 0 ? options.cpu_threads : usable_cores());
    }
    return node;
}

} // namespace cqsa
