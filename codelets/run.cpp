// SPDX-License-Identifier: Apache-2.0
#include "codelets/run.hpp"

#include <chrono>
#include <new>
#include <utility>

namespace cqsa {

void Run::fail(std::exception_ptr error) noexcept {
    const std::lock_guard lock(error_mutex_);
    if (!error_) error_ = std::move(error);
    cancelled_ = true;
}

void Run::rethrow() const {
    const std::lock_guard lock(error_mutex_);
    if (error_) std::rethrow_exception(error_);
}

std::span<std::byte> Run::workspace(int worker, std::size_t bytes) {
    buffer& slot = workspaces_[worker];
    if (slot.bytes < bytes) {
        slot.data.reset();
        slot.bytes = 0;
        slot.data.reset(static_cast<std::byte*>(::operator new[](bytes, std::align_val_t{64})));
        slot.bytes = bytes;
    }
    return {slot.data.get(), bytes};
}

std::int64_t Run::workspace_bytes() const {
    std::int64_t bytes = 0;
    for (const buffer& slot : workspaces_)
        bytes += static_cast<std::int64_t>(slot.bytes);
    return bytes;
}

void run_task(Run& run, const std::function<void()>& work, bool on_cpu) noexcept {
    if (run.cancelled()) return;
    Run::worker_record& record = run.record(starpu_worker_get_id_check());
    const auto start = std::chrono::steady_clock::now();
    try {
        if (on_cpu && run.prepare_cpu_worker) run.prepare_cpu_worker();
        work();
    } catch (...) {
        run.fail(std::current_exception());
    }
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
    record.tasks += 1;
    // A CUDA codelet only enqueues; its time is the device's and is not known here.
    if (on_cpu) record.busy_seconds = record.busy_seconds + spent.count();
}

namespace {

// StarPU's schedulers take 0 as "unknown", so the answer is always positive.
double expected_microseconds(starpu_task* task, starpu_perfmodel_arch* arch, unsigned /*nimpl*/) {
    const auto& arguments = *static_cast<const task_arguments*>(task->cl_arg);
    const bool cuda = arch->devices[0].type == STARPU_CUDA_WORKER;
    const processor_rates& rates = cuda ? arguments.run->cuda_rates : arguments.run->cpu_rates;
    const double seconds = rates.task_seconds +
                           static_cast<double>(arguments.flops) / rates.attend_flops_per_second +
                           static_cast<double>(arguments.bytes) / rates.bytes_per_second;
    return seconds > 0 ? seconds * 1e6 : 1.0;
}

} // namespace

starpu_codelet make_codelet(const char* name, unsigned color, starpu_cpu_func_t on_cpu,
                            starpu_cuda_func_t on_cuda, starpu_perfmodel& model) {
    model.type = STARPU_PER_ARCH;
    model.arch_cost_function = expected_microseconds;
    model.symbol = name;
    starpu_codelet codelet;
    starpu_codelet_init(&codelet);
    codelet.cpu_funcs[0] = on_cpu;
    codelet.cpu_funcs_name[0] = name;
    codelet.cuda_funcs[0] = on_cuda;
    codelet.cuda_flags[0] = STARPU_CUDA_ASYNC;
    codelet.nbuffers = STARPU_VARIABLE_NBUFFERS;
    codelet.model = &model;
    codelet.name = name;
    codelet.color = color;
    return codelet;
}

} // namespace cqsa
