// SPDX-License-Identifier: Apache-2.0
#include "codelets/finalize/codelet.hpp"

namespace cqsa {
namespace {

finalize_task unpack(const finalize_arguments& arguments, void* buffers[]) {
    const problem& problem = arguments.run->problem;
    const auto& result = *static_cast<const block_data*>(buffers[0]);
    finalize_task task{.type = problem.type,
                       .out_type = problem.out_type,
                       .batch = problem.batch,
                       .heads = problem.heads,
                       .tokens = arguments.tokens,
                       .head_dim = problem.head_dim,
                       .state = {},
                       .fresh = arguments.fresh,
                       .out = mutable_view_of(result, 0, bytes_of(problem.out_type)),
                       .lse = {}};
    if (!arguments.fresh) {
        void* state = static_cast<const block_data*>(buffers[1])->part[0].data;
        task.state = state_layout(problem, arguments.tokens).view(state);
    }
    if (result.parts == 2) {
        const mutable_tensor_view lse =
            mutable_view_of(result, 1, bytes_of(state_type(problem.type)));
        task.lse = {lse.data, lse.batch_stride, lse.head_stride, lse.token_stride};
    }
    return task;
}

finalize_arguments& finalize_arguments_of(void* cl_arg) {
    return static_cast<finalize_arguments&>(*static_cast<task_arguments*>(cl_arg));
}

void finalize_on_cpu(void* buffers[], void* cl_arg) noexcept {
    finalize_arguments& arguments = finalize_arguments_of(cl_arg);
    run_task(
        arguments,
        [&] { openmp::finalize(unpack(arguments, buffers), arguments.run->cpu_threads); }, true);
}

#ifdef CQSA_WITH_CUDA
void finalize_on_cuda(void* buffers[], void* cl_arg) noexcept {
    finalize_arguments& arguments = finalize_arguments_of(cl_arg);
    run_task(
        arguments,
        [&] { cuda::finalize(unpack(arguments, buffers), starpu_cuda_get_local_stream()); }, false);
}
#else
constexpr starpu_cuda_func_t finalize_on_cuda = nullptr;
#endif

} // namespace

starpu_codelet& finalize_codelet() {
    static starpu_perfmodel model;
    static starpu_codelet codelet =
        make_codelet("cqsa_finalize", 0x73d216, finalize_on_cpu, finalize_on_cuda, model);
    return codelet;
}

} // namespace cqsa
