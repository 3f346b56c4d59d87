// SPDX-License-Identifier: Apache-2.0
#include "codelets/attend/codelet.hpp"

namespace cqsa {
namespace {

// Points the task's views at the buffers that StarPU brought to this worker's memory.
attend_task unpack(attend_arguments& arguments, void* buffers[]) {
    const problem& problem = arguments.run->problem;
    const std::int64_t element_bytes = bytes_of(problem.type);
    const auto block = [&](std::size_t i) -> const block_data& {
        return *static_cast<const block_data*>(buffers[i]);
    };
    const std::size_t n = arguments.queries.size();
    for (std::size_t i = 0; i < n; ++i) {
        query_block& query = arguments.queries[i];
        query.q = view_of(block(i), 0, element_bytes);
        query.state = state_layout(problem, query.tokens).view(block(n + i).part[0].data);
    }
    for (std::size_t j = 0; j < arguments.keys.size(); ++j) {
        key_block& key = arguments.keys[j];
        key.k = view_of(block(2 * n + j), 0, element_bytes);
        key.v = view_of(block(2 * n + j), 1, element_bytes);
    }
    return {.type = problem.type,
            .batch = problem.batch,
            .heads = problem.heads,
            .kv_heads = problem.kv_heads,
            .head_dim = problem.head_dim,
            .scale = arguments.run->scale,
            .causal_offset = problem.causal_offset(),
            .queries = arguments.queries,
            .keys = arguments.keys,
            .pairs = arguments.pairs,
            .followed = arguments.followed};
}

attend_arguments& attend_arguments_of(void* cl_arg) {
    return static_cast<attend_arguments&>(*static_cast<task_arguments*>(cl_arg));
}

void attend_on_cpu(void* buffers[], void* cl_arg) noexcept {
    attend_arguments& arguments = attend_arguments_of(cl_arg);
    Run& run = *arguments.run;
    run_task(
        arguments,
        [&] {
            const attend_task task = unpack(arguments, buffers);
            const std::size_t bytes = openmp::attend_workspace_bytes(task, run.cpu_threads);
            openmp::attend(task, run.workspace(starpu_worker_get_id_check(), bytes),
                           run.cpu_threads);
        },
        true);
}

#ifdef CQSA_WITH_CUDA
void attend_on_cuda(void* buffers[], void* cl_arg) noexcept {
    attend_arguments& arguments = attend_arguments_of(cl_arg);
    run_task(
        arguments,
        [&] {
            const attend_task task = unpack(arguments, buffers);
            std::span<std::byte> workspace;
            if (arguments.has_workspace) {
                const std::size_t index = 2 * task.queries.size() + task.keys.size();
                const auto& scratch = *static_cast<const block_data*>(buffers[index]);
                workspace = {static_cast<std::byte*>(scratch.part[0].data),
                             static_cast<std::size_t>(scratch.part[0].bytes())};
            }
            cuda::attend(task, workspace, starpu_cuda_get_local_stream());
        },
        false);
}
#else
constexpr starpu_cuda_func_t attend_on_cuda = nullptr;
#endif

} // namespace

starpu_codelet& attend_codelet() {
    static starpu_perfmodel model;
    static starpu_codelet codelet =
        make_codelet("cqsa_attend", 0x3465a4, attend_on_cpu, attend_on_cuda, model);
    return codelet;
}

} // namespace cqsa
