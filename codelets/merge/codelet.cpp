// SPDX-License-Identifier: Apache-2.0
#include "codelets/merge/codelet.hpp"

namespace cqsa {
namespace {

merge_task unpack(const merge_arguments& arguments, void* buffers[]) {
    const problem& problem = arguments.run->problem;
    const state_layout layout(problem, arguments.tokens);
    return {.type = problem.type,
            .rows = problem.batch * problem.heads * arguments.tokens,
            .head_dim = problem.head_dim,
            .into = layout.view(static_cast<const block_data*>(buffers[0])->part[0].data),
            .from = layout.view(static_cast<const block_data*>(buffers[1])->part[0].data),
            .fresh = arguments.fresh};
}

merge_arguments& merge_arguments_of(void* cl_arg) {
    return static_cast<merge_arguments&>(*static_cast<task_arguments*>(cl_arg));
}

void merge_on_cpu(void* buffers[], void* cl_arg) noexcept {
    merge_arguments& arguments = merge_arguments_of(cl_arg);
    run_task(
        arguments, [&] { openmp::merge(unpack(arguments, buffers), arguments.run->cpu_threads); },
        true);
}

#ifdef CQSA_WITH_CUDA
void merge_on_cuda(void* buffers[], void* cl_arg) noexcept {
    merge_arguments& arguments = merge_arguments_of(cl_arg);
    run_task(
        arguments, [&] { cuda::merge(unpack(arguments, buffers), starpu_cuda_get_local_stream()); },
        false);
}
#else
constexpr starpu_cuda_func_t merge_on_cuda = nullptr;
#endif

} // namespace

starpu_codelet& merge_codelet() {
    static starpu_perfmodel model;
    static starpu_codelet codelet =
        make_codelet("cqsa_merge", 0xf57900, merge_on_cpu, merge_on_cuda, model);
    return codelet;
}

} // namespace cqsa
