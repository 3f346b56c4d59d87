// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/attend.hpp"
#include "runtime/cpu_team.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace cqsa {

/// What a run needs from StarPU when it has to be started.
struct starpu_settings {
    worker_set workers = worker_set::all;
    int cpu_threads = 0;
    std::optional<std::int64_t> device_bytes; ///< StarPU's limit on each GPU
    std::string trace_directory;
};

/// StarPU for as long as the object lives: the application's, left as it is and left running, or
/// one of our own (one CPU worker with an OpenMP team, one worker per GPU), asleep between runs.
/// Environment variables that the user set are honoured; those that StarPU knows only from the
/// environment are set around starpu_init where the user did not, and taken back.
///
/// Contexts that live at the same time share the StarPU of the first, whose settings hold. Contexts
/// are made, used and ended by one thread at a time.
class StarpuContext {
  public:
    /// Throws Error(device) when StarPU cannot start or has no worker that was asked for, and
    /// Error(usage) when a trace is wanted of the application's StarPU.
    explicit StarpuContext(const starpu_settings& settings);
    ~StarpuContext();
    StarpuContext(const StarpuContext&) = delete;
    StarpuContext& operator=(const StarpuContext&) = delete;

    /// StarPU worker ids that tasks of a run may use, CPU and CUDA.
    [[nodiscard]] const std::vector<int>& cpu_workers() const { return cpu_workers_; }
    [[nodiscard]] const std::vector<int>& cuda_workers() const { return cuda_workers_; }
    /// starpu_task::where for tasks that any of these workers may run.
    [[nodiscard]] std::int32_t where() const;
    /// Whether an idle worker may leave a task that is ready to others, which then hear of it.
    [[nodiscard]] bool workers_choose() const;
    /// The OpenMP team of the one CPU worker; null where each CPU worker works alone.
    [[nodiscard]] CpuTeam* team() const;
    [[nodiscard]] int cpu_team_threads() const { return team() != nullptr ? team()->threads() : 1; }
    /// Empty, or one sentence: what went wrong at StarPU's start but does not keep it from working.
    [[nodiscard]] std::string warning() const;
    /// "CPU (16 threads)", "CUDA 0.0 (NVIDIA H100 80GB HBM3 78.2 GiB 18)".
    [[nodiscard]] std::string name_of(int worker) const;

    /// Workers run between resume and pause; StarPU's polling threads sleep otherwise. Also
    /// brackets the FxT trace. Nothing happens to the application's StarPU.
    void resume();
    void pause();

    /// Leaves StarPU running for ever instead of shutting it down: for a StarPU that hangs.
    void abandon();

  private:
    struct Instance;
    static std::shared_ptr<Instance> start(const starpu_settings& settings);

    std::shared_ptr<Instance> ours_; ///< null: the application's StarPU
    std::unique_ptr<CpuTeam> own_team_;
    std::vector<int> cpu_workers_;
    std::vector<int> cuda_workers_;
};

} // namespace cqsa
