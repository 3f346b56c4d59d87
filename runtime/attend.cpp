// SPDX-License-Identifier: Apache-2.0
#include "runtime/attend.hpp"

#include "codelets/run.hpp"
#include "planner/make_plan.hpp"
#include "runtime/graph.hpp"
#include "runtime/machine.hpp"
#include "runtime/operands.hpp"
#include "runtime/session.hpp"
#include "runtime/starpu_context.hpp"

#include <chrono>
#include <mutex>

namespace cqsa {
namespace {

using seconds = std::chrono::duration<double>;

starpu_settings settings_of(const attend_options& options) {
    return {.workers = options.workers,
            .cpu_threads = options.cpu_threads,
            .device_bytes = options.device_bytes,
            .trace_directory = options.trace_directory};
}

plan_request request_of(const attend_options& options) {
    return {.chunks = options.chunks,
            .depth = options.depth,
            .order = options.order,
            .flow = options.flow,
            .block_tokens = options.block_tokens,
            .strip_tokens = options.strip_tokens,
            .segment_tokens = options.segment_tokens};
}

processor_rates rates_of(const rates& planned) {
    return {.attend_flops_per_second = planned.attend_flops_per_second,
            .bytes_per_second = planned.merge_bytes_per_second,
            .task_seconds = planned.task_seconds};
}

/// Sleeps StarPU's workers again however the scope is left.
class Awake {
  public:
    explicit Awake(StarpuContext& context) : context_(context) { context_.resume(); }
    ~Awake() { context_.pause(); }
    Awake(const Awake&) = delete;
    Awake& operator=(const Awake&) = delete;

  private:
    StarpuContext& context_;
};

attend_report run_attention(StarpuContext& context, const operands& given,
                            const attend_options& options) {
    // One attention at a time: two would each take the memory that the other's plan counts on.
    static std::mutex one_at_a_time;
    const std::lock_guard lock(one_at_a_time);

    const problem problem = check(given, options);
    const machine machine = machine_of(context, problem, options);
    attend_report report;
    report.plan = make_plan(problem, machine, request_of(options));

    auto run = std::make_unique<Run>(problem, scale_of(problem, options));
    run->cpu_threads = context.cpu_team_threads();
    run->cpu_rates = rates_of(machine.cpu_rates);
    run->cuda_rates = rates_of(machine.device_rates);
    if (CpuTeam* team = context.team()) run->prepare_cpu_worker = [team] { team->bind(); };

    const auto start = std::chrono::steady_clock::now();
    const auto tell = [&](std::int64_t flops, std::int64_t tasks) {
        if (options.on_progress) {
            options.on_progress({.flops_done = flops,
                                 .flops_total = report.plan.predicted.flops,
                                 .tasks_done = tasks,
                                 .tasks_total = report.plan.tasks,
                                 .seconds = seconds(std::chrono::steady_clock::now() - start).count()});
        }
        return options.stop_requested && options.stop_requested();
    };
    auto graph = std::make_unique<Graph>(given, report.plan, *run, context.where());
    try {
        const Awake awake(context);
        graph->execute(tell);
    } catch (const Graph::Stalled&) {
        graph.release();
        run.release();
        context.abandon();
        throw;
    }
    return report;
}

} // namespace
} // namespace cqsa
