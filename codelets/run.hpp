// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/block_data.hpp"
#include "planner/problem.hpp"

#include <starpu.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

namespace cqsa {

/// Measured or assumed rates of one kind of processor: the cost functions of the codelets.
struct processor_rates {
    double attend_flops_per_second = 0;
    double bytes_per_second = 0; ///< memory traffic of merge and finalize
    double task_seconds = 0;     ///< fixed cost of a task
};

struct task_arguments;

/// A visit of a strip, as far as its tasks have been submitted.
struct strip_progress {
    std::atomic<std::int64_t> flops_left{0}; ///< of its tasks that have not ended
    std::atomic<int> gpu{-1}; ///< worker of the GPU that it was dealt to or was on last; −1: none
};

/// What all tasks of one attention share: the problem, the first error, progress, CPU workspaces,
/// and the rates that the tasks so far have shown.
/// Made by the runtime, outlives its tasks. Everything but `prepare` and the setters of the first
/// block may be called from any thread.
class Run {
  public:
    Run(const problem& prob, double scale_factor);
    Run(const Run&) = delete;
    Run& operator=(const Run&) = delete;

    // Set before the first task.
    const cqsa::problem problem;
    const double scale;
    int cpu_threads = 1;         ///< team of a CPU worker
    processor_rates cpu_rates;   ///< until tasks have shown the rate of attend
    processor_rates cuda_rates;  ///< likewise
    std::vector<int> gpus;       ///< workers of those that tasks may run on
    bool workers_choose = false; ///< idle workers take tasks, and may leave one to others
    std::function<void()>
        prepare_cpu_worker; ///< called by each CPU task; must be cheap and noexcept

    traffic moved;

    /// True after an error or a request to stop: tasks return at once without touching their data.
    [[nodiscard]] bool cancelled() const noexcept {
        return cancelled_.load(std::memory_order_relaxed);
    }
    /// Keeps the first error and cancels the run.
    void fail(std::exception_ptr error) noexcept;
    void cancel() noexcept { cancelled_ = true; }
    /// Throws the first error, if there was one.
    void rethrow() const;

    /// Workspace of a StarPU worker, grown when needed, aligned to 64 bytes. Only for that worker.
    std::span<std::byte> workspace(int worker, std::size_t bytes);

    /// Bytes of all workspaces. When no task runs.
    [[nodiscard]] std::int64_t workspace_bytes() const;

    /// What a worker did. Written by its thread alone. A task lasts from when its codelet was
    /// called, or from the end of the worker's task before, until it has ended: CUDA codelets only
    /// enqueue.
    struct worker_record {
        std::atomic<std::int64_t> tasks{0};
        std::atomic<double> busy_seconds{0};
        std::atomic<double> attend_flops{0};
        std::atomic<double> attend_seconds{0};
    };
    [[nodiscard]] worker_record& record(int worker) { return workers_[worker].record; }

    /// Enters a task that has ended into its worker's record and into the rate of its kind of
    /// processor. On the worker's thread.
    void count(const task_arguments& ended) noexcept;

    /// flop/s of attend on a kind of processor: of a worker's latest tasks together, but for its
    /// first; as it was set until there are several.
    [[nodiscard]] double attend_flops_per_second(bool cuda) const noexcept;

    /// False while a CPU beside GPUs is so slow that a task on it would hold up the others
    /// (planner/machine.hpp).
    [[nodiscard]] bool cpu_helps() const noexcept;

    /// Whether a worker that is idle should take the task, rather than leave it to others. There
    /// always is a worker that may.
    [[nodiscard]] bool should_take(int worker, bool cuda,
                                   const task_arguments& task) const noexcept;

  private:
    std::atomic<bool> cancelled_{false};
    std::atomic<double> flops_left_; ///< of the whole problem
    mutable std::mutex error_mutex_;
    std::exception_ptr error_;
    struct aligned_delete {
        void operator()(std::byte* p) const { ::operator delete[](p, std::align_val_t{64}); }
    };
    struct buffer {
        std::unique_ptr<std::byte[], aligned_delete> data;
        std::size_t bytes = 0;
    };
    std::vector<buffer> workspaces_ = std::vector<buffer>(STARPU_NMAXWORKERS);
    struct worker_state {
        worker_record record;
        std::chrono::steady_clock::time_point last_end;
        struct attended {
            double flops = 0;
            double seconds = 0;
        };
        std::array<attended, 8> latest{}; ///< its latest attend tasks, in turn, after the first
        std::size_t shown = 0;            ///< so many have been
    };
    std::vector<worker_state> workers_ = std::vector<worker_state>(STARPU_NMAXWORKERS);
    std::array<std::atomic<double>, 2> observed_flops_per_second_{}; ///< CPU, CUDA; 0: not yet
};

/// What every task carries as its argument (cl_arg). Owned by the task; given back to the runtime's
/// callback when it is done.
struct task_arguments {
    explicit task_arguments(Run& of_run) : run(&of_run) {}
    virtual ~task_arguments() = default;
    task_arguments(const task_arguments&) = delete;
    task_arguments& operator=(const task_arguments&) = delete;

    Run* run;
    std::int64_t flops = 0;
    std::int64_t bytes = 0; ///< memory read and written, for the cost of memory-bound tasks
    std::int64_t strip = 0; ///< the plan's number of the strip's visit
    std::shared_ptr<strip_progress> progress; ///< of that visit; null: it belongs to none
    std::function<void()> on_done;            ///< called on a StarPU thread when the task has ended

    // Where and when the codelet was called; −1: not at all.
    int worker = -1;
    bool on_cuda = false;
    std::chrono::steady_clock::time_point called;
};

/// Body of a codelet: runs `work` unless the run is cancelled, and keeps what it throws. `work` is
/// called on a StarPU worker's thread.
void run_task(task_arguments& arguments, const std::function<void()>& work, bool on_cpu) noexcept;

/// starpu_task::epilogue_callback_func of every task, with its task_arguments: counts it, before
/// StarPU places the tasks that waited for it.
void count_task(void* arguments) noexcept;

/// A codelet of ours: any number of buffers, analytic cost (PER_ARCH: flops over the attend rate
/// plus bytes over the memory rate), so the first run on a machine schedules well and no history of
/// another run misleads it. A CPU that does not help costs too much for any task. Where workers
/// choose (Run::should_take), no cost counts.
/// `name` must outlive the codelet; `on_cuda` may be null.
starpu_codelet make_codelet(const char* name, unsigned color, starpu_cpu_func_t on_cpu,
                            starpu_cuda_func_t on_cuda, starpu_perfmodel& model);

} // namespace cqsa
