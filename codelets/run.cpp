// SPDX-License-Identifier: Apache-2.0
#include "codelets/run.hpp"

#include "planner/flops.hpp"
#include "planner/machine.hpp"

#include <algorithm>
#include <new>
#include <utility>

namespace cqsa {
namespace {

using clock = std::chrono::steady_clock;

// A GPU's tasks are so short that a pause of the thread which waits for them makes one look a
// hundred times as long and the next a hundred times as short; a CPU that seemed slow gets no task
// any more that could show it to be fast.
constexpr std::size_t convincing_tasks = 3;

// The records have one writer.
void add(std::atomic<double>& sum, double value) {
    sum.store(sum.load(std::memory_order_relaxed) + value, std::memory_order_relaxed);
}

} // namespace

Run::Run(const cqsa::problem& prob, double scale_factor)
    : problem(prob), scale(scale_factor), flops_left_(total_flops(prob)) {}

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

void Run::count(const task_arguments& ended) noexcept {
    if (ended.worker < 0) return;
    worker_state& by = workers_[ended.worker];
    const clock::time_point end = clock::now();
    const bool first = by.record.tasks == 0;
    const std::chrono::duration<double> spent = end - std::max(by.last_end, ended.called);
    by.last_end = end;
    by.record.tasks += 1;
    add(by.record.busy_seconds, spent.count());
    if (ended.flops == 0) return;
    flops_left_.fetch_sub(static_cast<double>(ended.flops), std::memory_order_relaxed);
    if (ended.progress) ended.progress->flops_left -= ended.flops;
    add(by.record.attend_flops, static_cast<double>(ended.flops));
    add(by.record.attend_seconds, spent.count());
    if (first) return; // it also loads the kernel, or wakes the team of threads
    by.latest[by.shown % by.latest.size()] = {static_cast<double>(ended.flops), spent.count()};
    ++by.shown;
    if (by.shown < convincing_tasks) return;
    double flops = 0;
    double seconds = 0;
    for (const auto& task : by.latest) {
        flops += task.flops;
        seconds += task.seconds;
    }
    observed_flops_per_second_[ended.on_cuda ? 1 : 0].store(flops / seconds,
                                                            std::memory_order_relaxed);
}

double Run::attend_flops_per_second(bool cuda) const noexcept {
    const double observed =
        observed_flops_per_second_[cuda ? 1 : 0].load(std::memory_order_relaxed);
    if (observed > 0) return observed;
    return (cuda ? cuda_rates : cpu_rates).attend_flops_per_second;
}

bool Run::cpu_helps() const noexcept {
    return cqsa::cpu_helps(attend_flops_per_second(false), attend_flops_per_second(true));
}

bool Run::should_take(int worker, bool cuda, const task_arguments& task) const noexcept {
    if (!workers_choose || gpus.empty()) return true;
    const int gpu = task.progress ? task.progress->gpu.load(std::memory_order_relaxed) : -1;
    // States move between GPUs by way of the host.
    if (cuda) return gpu < 0 || gpu == worker;
    if (!cpu_helps()) return false;
    if (task.flops == 0) return gpu < 0;
    // Meanwhile the GPUs go through all that does not wait for this task. If they were done with it
    // before, they would have done this earlier, too.
    const double own = attend_flops_per_second(false);
    const double others = static_cast<double>(gpus.size()) * attend_flops_per_second(true);
    const auto strip_left =
        static_cast<double>(task.progress ? task.progress->flops_left - task.flops : 0);
    const double left = flops_left_.load(std::memory_order_relaxed) - strip_left;
    return own >= others || static_cast<double>(task.flops) / own <= left / others;
}

void run_task(task_arguments& arguments, const std::function<void()>& work, bool on_cpu) noexcept {
    Run& run = *arguments.run;
    if (run.cancelled()) return;
    arguments.worker = starpu_worker_get_id_check();
    arguments.on_cuda = !on_cpu;
    if (arguments.progress && !on_cpu) arguments.progress->gpu = arguments.worker;
    arguments.called = clock::now();
    try {
        if (on_cpu && run.prepare_cpu_worker) run.prepare_cpu_worker();
        work();
    } catch (...) {
        run.fail(std::current_exception());
    }
}

void count_task(void* arguments) noexcept {
    const auto& ended = *static_cast<const task_arguments*>(arguments);
    ended.run->count(ended);
}

namespace {

// More than any task takes.
constexpr double prohibitive_microseconds = 1e12;

// StarPU's schedulers take 0 as "unknown", so the answer is always positive.
double expected_microseconds(starpu_task* task, starpu_perfmodel_arch* arch, unsigned /*nimpl*/) {
    const auto& arguments = *static_cast<const task_arguments*>(task->cl_arg);
    const bool cuda = arch->devices[0].type == STARPU_CUDA_WORKER;
    const Run& run = *arguments.run;
    if (!cuda && !run.cpu_helps()) return prohibitive_microseconds;
    const processor_rates& rates = cuda ? run.cuda_rates : run.cpu_rates;
    const double seconds =
        rates.task_seconds +
        static_cast<double>(arguments.flops) / run.attend_flops_per_second(cuda) +
        static_cast<double>(arguments.bytes) / rates.bytes_per_second;
    return seconds > 0 ? seconds * 1e6 : 1.0;
}

int can_execute(unsigned worker, starpu_task* task, unsigned /*nimpl*/) {
    const auto& arguments = *static_cast<const task_arguments*>(task->cl_arg);
    const int id = static_cast<int>(worker);
    const bool cuda = starpu_worker_get_type(id) == STARPU_CUDA_WORKER;
    return arguments.run->should_take(id, cuda, arguments) ? 1 : 0;
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
    codelet.can_execute = can_execute;
    codelet.nbuffers = STARPU_VARIABLE_NBUFFERS;
    codelet.model = &model;
    codelet.name = name;
    codelet.color = color;
    return codelet;
}

} // namespace cqsa
