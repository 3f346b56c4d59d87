// SPDX-License-Identifier: Apache-2.0
#include "runtime/starpu_context.hpp"

#include "codelets/block_pool.hpp"
#include "runtime/bus_measurement.hpp"
#include "runtime/environment.hpp"
#include "runtime/gpu.hpp"

#include <starpu.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

namespace cqsa {
namespace {

std::vector<int> workers_of(starpu_worker_archtype type) {
    std::vector<int> ids(STARPU_NMAXWORKERS);
    const unsigned count = starpu_worker_get_ids_by_type(type, ids.data(), STARPU_NMAXWORKERS);
    ids.resize(count);
    return ids;
}

// What StarPU reads from the environment alone.
void set_environment(ScopedEnvironment& environment, const starpu_settings& settings) {
    environment.set_default("STARPU_SILENT", "1");
    // StarPU would fetch the operands of every ready task and evict those that are in use
    // (a window of admitted strips decides what is on the device).
    environment.set_default("STARPU_PREFETCH", "0");
    if (settings.device_bytes) {
        const std::int64_t mebibytes = *settings.device_bytes >> 20;
        environment.set("STARPU_LIMIT_CUDA_MEM",
                        std::to_string(std::max<std::int64_t>(1, mebibytes)));
    }
    if (!settings.trace_directory.empty()) {
        environment.set("STARPU_FXT_TRACE", "1");
        environment.set("STARPU_FXT_PREFIX", settings.trace_directory);
        environment.set_default("STARPU_FXT_SUFFIX", "cqsa.fxt");
    }
}

// StarPU measures the bus when it starts for the first time, and aborts when it gets no memory for
// that. Empty when every GPU has enough, otherwise a sentence.
std::string gpus_too_full() {
    constexpr std::int64_t mebibyte = std::int64_t{1} << 20;
    constexpr std::int64_t least_mebibytes = 64;
    for (const gpu_facts& gpu : list_gpus()) {
        if (gpu.free_bytes / mebibyte >= least_mebibytes) continue;
        return "device memory: expected " + std::to_string(least_mebibytes) +
               " MiB free for StarPU to start with, but " + gpu.name + " has " +
               std::to_string(gpu.free_bytes / mebibyte) + " MiB";
    }
    return {};
}

void release_buffers_of(const std::vector<int>& cuda_workers) {
    for (const int worker : cuda_workers)
        release_buffers(starpu_worker_get_memory_node(worker));
}

std::unique_ptr<CpuTeam> team_for(int cpu_worker, int threads) {
    std::vector<int> taken;
    for (const int worker : workers_of(STARPU_CUDA_WORKER)) {
        taken.push_back(starpu_worker_get_bindid(worker));
    }
    return std::make_unique<CpuTeam>(starpu_worker_get_bindid(cpu_worker), taken, threads);
}

} // namespace

// A StarPU that we started.
struct StarpuContext::Instance {
    std::unique_ptr<CpuTeam> team;
    std::string warning;
    bool tracing = false;
    bool workers_choose = false;
    bool hangs = false;

    ~Instance() {
        if (hangs) return;
        starpu_resume(); // StarPU must not be paused when it shuts down
        release_buffers_of(workers_of(STARPU_CUDA_WORKER));
        starpu_shutdown();
    }
};

std::shared_ptr<StarpuContext::Instance> StarpuContext::start(const starpu_settings& settings) {
    static std::weak_ptr<Instance> running;
    if (auto instance = running.lock()) return instance;
    if (starpu_is_initialized() != 0) return nullptr;

    if (!settings.trace_directory.empty()) {
        std::error_code failure;
        std::filesystem::create_directories(settings.trace_directory, failure);
        if (failure) {
            throw Error(error_code::failure, "trace_directory: " + settings.trace_directory +
                                                 " cannot be made: " + failure.message());
        }
        starpu_fxt_autostart_profiling(0);
    }
    const std::string too_full = settings.workers == worker_set::cpu ? "" : gpus_too_full();
    if (settings.workers == worker_set::cuda && !too_full.empty()) {
        throw Error(error_code::does_not_fit, too_full);
    }
    ScopedEnvironment environment;
    set_environment(environment, settings);

    starpu_conf conf;
    starpu_conf_init(&conf);
    // starpu_conf_init has read STARPU_NCPU and STARPU_NCUDA; an argument goes before them.
    conf.precedence_over_environment_variables = 1;
    if (settings.workers == worker_set::cuda) {
        conf.ncpus = 0;
    } else if (conf.ncpus < 0) {
        conf.ncpus = 1;
    }
    if (settings.workers == worker_set::cpu || !too_full.empty()) conf.ncuda = 0;
    conf.nopencl = 0;
    conf.catch_signals = 0;
    const bool ours_to_choose = conf.sched_policy_name == nullptr;
    if (ours_to_choose) conf.sched_policy_name = "prio";
    const std::string warning = measure_bus_apart(conf);
    const int result = starpu_init(&conf);
    if (result == -ENODEV) {
        throw Error(error_code::device,
                    settings.workers == worker_set::cuda
                        ? "workers: expected at least one GPU, but StarPU found none"
                        : "workers: StarPU found no processor that it may use");
    }
    if (result != 0) {
        throw Error(error_code::device,
                    std::string("StarPU could not start: ") + std::strerror(-result));
    }
    auto instance = std::make_shared<Instance>();
    starpu_pause();
    instance->warning = warning;
    instance->workers_choose = ours_to_choose;
    instance->tracing = !settings.trace_directory.empty();
    const std::vector<int> cpu_workers = workers_of(STARPU_CPU_WORKER);
    // A team only for a single worker: several already share the cores among them.
    if (cpu_workers.size() == 1) {
        instance->team = team_for(cpu_workers.front(), settings.cpu_threads);
    }
    running = instance;
    return instance;
}

StarpuContext::StarpuContext(const starpu_settings& settings) : ours_(start(settings)) {
    if (!ours_ && !settings.trace_directory.empty()) {
        throw Error(error_code::usage,
                    "trace_directory: StarPU is already running without a trace; set "
                    "STARPU_FXT_TRACE=1 before the application starts it");
    }
    if (settings.workers != worker_set::cuda) cpu_workers_ = workers_of(STARPU_CPU_WORKER);
    if (settings.workers != worker_set::cpu) cuda_workers_ = workers_of(STARPU_CUDA_WORKER);
    if (cpu_workers_.empty() && cuda_workers_.empty()) {
        throw Error(error_code::device,
                    settings.workers == worker_set::cuda
                        ? "workers: expected a CUDA worker, but the running StarPU has none"
                        : "workers: expected a CPU worker, but the running StarPU has none");
    }
    if (!ours_ && cpu_workers_.size() == 1 && settings.cpu_threads > 1) {
        own_team_ = team_for(cpu_workers_.front(), settings.cpu_threads);
    }
}

StarpuContext::~StarpuContext() {
    if (!ours_) release_buffers_of(cuda_workers_);
}

std::int32_t StarpuContext::where() const {
    return static_cast<std::int32_t>((cpu_workers_.empty() ? 0U : STARPU_CPU) |
                                     (cuda_workers_.empty() ? 0U : STARPU_CUDA));
}

bool StarpuContext::workers_choose() const {
    return ours_ && ours_->workers_choose;
}

CpuTeam* StarpuContext::team() const {
    return ours_ ? ours_->team.get() : own_team_.get();
}

std::string StarpuContext::warning() const {
    return ours_ ? ours_->warning : std::string();
}

std::string StarpuContext::name_of(int worker) const {
    if (starpu_worker_get_type(worker) == STARPU_CPU_WORKER) {
        const int threads = cpu_team_threads();
        return "CPU (" + std::to_string(threads) + (threads == 1 ? " thread)" : " threads)");
    }
    char name[128];
    starpu_worker_get_name(worker, name, sizeof name);
    return name;
}

void StarpuContext::resume() {
    if (!ours_) return;
    starpu_resume();
    if (ours_->tracing) starpu_fxt_start_profiling();
}

void StarpuContext::pause() {
    if (!ours_) return;
    if (ours_->tracing) starpu_fxt_stop_profiling();
    starpu_pause();
}

void StarpuContext::abandon() {
    if (ours_) ours_->hangs = true;
}

} // namespace cqsa
