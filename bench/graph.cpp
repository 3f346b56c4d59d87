// SPDX-License-Identifier: Apache-2.0
// cqsa_bench graph: whole attentions through the StarPU graph, with the planner's plan and with
// others, beside the kernel alone and PyTorch; and what a task of the graph costs.
#include "bench/cases.hpp"
#include "bench/report.hpp"
#include "bench/subcommands.hpp"
#include "bench/timing.hpp"
#include "bench/torch_peer.hpp"
#include "runtime/session.hpp"

#include <fmt/format.h>
#include <map>
#include <memory>
#include <omp.h>
#include <optional>
#include <string>
#include <vector>

namespace cqsa::bench {
namespace {

struct graph_options {
    attend_case size{data_type::bf16, 8, 16384, 64, true};
    worker_set workers = worker_set::cpu;
    std::optional<std::int64_t> device_bytes;
    int rounds = 3;
    bool torch = true;
    std::string peers = peers_folder();
    std::string json;
};

std::FILE* table_output(const graph_options& options) {
    return options.json == "-" ? stderr : stdout;
}

struct compared_plan {
    std::string name;
    attend_options request;
};

// The planner's choice and, beside it, each way to order the same work.
std::vector<compared_plan> plans_to_compare() {
    attend_options undivided;
    undivided.chunks = 1;
    undivided.order = task_order::query_major;
    attend_options query_major;
    query_major.chunks = 7;
    query_major.order = task_order::query_major;
    attend_options continued;
    continued.chunks = 7;
    continued.order = task_order::quorum_major;
    continued.flow = state_flow::continued;
    attend_options merged = continued;
    merged.flow = state_flow::merged;
    return {{"planner's choice", {}},
            {"undivided", undivided},
            {"query-major", query_major},
            {"quorum-major", continued},
            {"quorums merged", merged}};
}

// Q, K, V of a case and somewhere to put the outputs.
class WholeAttention {
  public:
    explicit WholeAttention(const attend_case& x)
        : case_(x), operands_(x),
          out_(static_cast<std::size_t>(x.heads * x.tokens * x.head_dim * bytes_of(x.type))),
          lse_(static_cast<std::size_t>(x.heads * x.tokens * bytes_of(state_type(x.type)))) {}

    attend_report run(Session& session, attend_options request) {
        const std::array<std::int64_t, 4> shape{1, case_.heads, case_.tokens, case_.head_dim};
        const std::array<std::int64_t, 4> rows{1, case_.heads, case_.tokens, 1};
        const auto read = [&](const tensor_view& view) -> tensor {
            return {view.data, case_.type, shape, bhnd_strides(shape)};
        };
        const attend_task task = operands_.task();
        request.mask = case_.problem().mask;
        return session.attend(read(task.queries[0].q), read(task.keys[0].k), read(task.keys[0].v),
                              {out_.data(), case_.type, shape, bhnd_strides(shape)},
                              {lse_.data(), state_type(case_.type), rows, bhnd_strides(rows)},
                              request);
    }

    [[nodiscard]] attend_task task() const { return operands_.task(); }

  private:
    attend_case case_;
    AttendOperands operands_;
    Buffer out_, lse_;
};

// The kernel alone, everything in one task.
double kernel_seconds(const WholeAttention& attention, int threads, int rounds) {
    const attend_task task = attention.task();
    const Buffer workspace(openmp::attend_workspace_bytes(task, threads));
    const auto attend = [&] {
        openmp::attend(task, {workspace.data(), workspace.bytes()}, threads);
    };
    attend();
    return median_seconds(rounds, attend);
}

attend_options session_options(const graph_options& options) {
    attend_options fixed;
    fixed.workers = options.workers;
    fixed.device_bytes = options.device_bytes;
    return fixed;
}

nlohmann::json measure_plan(const compared_plan& row, const graph_options& options,
                            Session& session, WholeAttention& attention) {
    attention.run(session, row.request);
    std::vector<double> seconds(static_cast<std::size_t>(options.rounds));
    attend_report last;
    for (double& x : seconds) {
        last = attention.run(session, row.request);
        x = last.measured.seconds;
    }
    return {{"plan", row.name},
            {"chunks", last.plan.chunks},
            {"strip_tokens", last.plan.strip_blocks * last.plan.queries.block_tokens},
            {"segment_tokens", last.plan.segment_blocks * last.plan.keys.block_tokens},
            {"tasks", last.plan.tasks},
            {"merges", last.plan.merges},
            {"seconds", median(seconds)},
            {"predicted_seconds", last.plan.predicted.seconds},
            {"device_bytes", last.measured.device_bytes},
            {"predicted_device_bytes", last.plan.predicted.device_bytes},
            {"h2d_bytes", last.measured.h2d_bytes},
            {"predicted_h2d_bytes", last.plan.predicted.h2d_bytes},
            {"d2h_bytes", last.measured.d2h_bytes},
            {"flops_per_second", options.size.flops() / median(seconds)}};
}

nlohmann::json measure_plans(const graph_options& options, std::optional<double> peer_seconds) {
    WholeAttention attention(options.size);
    // Before StarPU starts and its threads want cores; beside a GPU it is `cqsa_bench cuda`'s.
    std::optional<double> kernel;
    if (options.workers == worker_set::cpu) {
        kernel = kernel_seconds(attention, omp_get_max_threads(), options.rounds);
    }
    Session session(session_options(options));
    const Table table(table_output(options), {{"plan", 17},
                                              {"c", 4},
                                              {"strip", 8},
                                              {"segment", 8},
                                              {"tasks", 7},
                                              {"s", 9},
                                              {"predicted", 10},
                                              {"GFLOP/s", 9},
                                              {"kernel", 7},
                                              {"PyTorch", 8},
                                              {"MiB", 7},
                                              {"H2D GB", 7}});
    nlohmann::json rows = nlohmann::json::array();
    for (const compared_plan& plan : plans_to_compare()) {
        nlohmann::json row;
        try {
            row = measure_plan(plan, options, session, attention);
        } catch (const Error& error) {
            fmt::print(stderr, "{}: {}\n", plan.name, error.what());
            continue;
        }
        const double seconds = row["seconds"];
        const auto ratio_to = [seconds](const std::optional<double>& peer) {
            return peer ? std::optional(peer.value() / seconds) : std::nullopt;
        };
        if (kernel) row["kernel_ratio"] = *ratio_to(kernel);
        if (peer_seconds) row["torch_ratio"] = *ratio_to(peer_seconds);
        table.row({plan.name, std::to_string(row["chunks"].get<int>()),
                   std::to_string(row["strip_tokens"].get<std::int64_t>()),
                   std::to_string(row["segment_tokens"].get<std::int64_t>()),
                   std::to_string(row["tasks"].get<std::int64_t>()), number(seconds, 3),
                   number(row["predicted_seconds"].get<double>(), 3),
                   number(row["flops_per_second"].get<double>() / 1e9, 0),
                   number(ratio_to(kernel), 3), number(ratio_to(peer_seconds), 2),
                   number(row["device_bytes"].get<double>() / (1 << 20), 0),
                   number(row["h2d_bytes"].get<double>() / 1e9, 2)});
        rows.push_back(row);
    }
    return rows;
}

// 10 000 tasks with next to no work in them: the time that is not spent in codelets, per task.
nlohmann::json measure_overhead(std::FILE* out) {
    constexpr std::int64_t block = 128;
    WholeAttention attention({data_type::f32, 1, 100 * block, 8, false});
    attend_options request;
    request.workers = worker_set::cpu;
    request.cpu_threads = 1;
    request.chunks = 1;
    request.order = task_order::query_major;
    request.block_tokens = request.strip_tokens = request.segment_tokens = block;
    Session session(request);
    attention.run(session, request);
    const attend_report report = attention.run(session, request);
    const attend_report::worker& worker = report.workers.front();
    const double seconds = report.measured.seconds - worker.busy_seconds;
    const double each = seconds / static_cast<double>(worker.tasks);
    fmt::print(out, "{} tasks: {:.1f} µs of graph for each ({:.3f} s, {:.3f} s in codelets)\n",
               worker.tasks, 1e6 * each, report.measured.seconds, worker.busy_seconds);
    return {{"tasks", worker.tasks}, {"overhead_seconds_per_task", each}};
}

void run_graph(const graph_options& options) {
    std::FILE* out = table_output(options);
    nlohmann::json report = machine();
    const bool with_torch = options.torch && options.workers == worker_set::cpu;
    std::optional<double> peer_seconds;
    {
        TorchPeer torch(with_torch ? options.peers : "", "torch_cpu.py",
                        std::to_string(omp_get_max_threads()));
        if (with_torch && torch.version().empty()) fmt::print(stderr, "{}\n", torch.why());
        torch.attend_seconds(options.size);
        peer_seconds = torch.attend_seconds(options.size);
        report["torch"] = torch.version();
    }
    fmt::print(out, "[1, {}, {}, {}] {} {}; kernel, PyTorch: their time over ours\n",
               options.size.heads, options.size.tokens, options.size.head_dim,
               name_of(options.size.type), options.size.causal ? "causal" : "dense");
    report["plans"] = measure_plans(options, peer_seconds);
    report["overhead"] = measure_overhead(out);
    if (!options.json.empty()) write_json(options.json, report);
}

} // namespace

void add_graph(CLI::App& app) {
    static const std::map<std::string, data_type> types{{"f32", data_type::f32},
                                                        {"bf16", data_type::bf16},
                                                        {"f16", data_type::f16},
                                                        {"f64", data_type::f64}};
    static const std::map<std::string, worker_set> workers{
        {"cpu", worker_set::cpu}, {"cuda", worker_set::cuda}, {"all", worker_set::all}};
    const auto options = std::make_shared<graph_options>();
    CLI::App* graph = app.add_subcommand(
        "graph", "whole attentions through the StarPU graph, from and to host memory, with several "
                 "plans, beside the kernel alone and PyTorch; and the cost of a task");
    graph->add_option("--tokens", options->size.tokens, "Queries, and keys")->capture_default_str();
    graph->add_option("--heads", options->size.heads, "Heads")->capture_default_str();
    graph->add_option("--dim", options->size.head_dim, "Head dimension")
        ->check(CLI::Range(1, 256))
        ->capture_default_str();
    graph->add_option("--type", options->size.type, "Element type: f32, bf16, f16, f64")
        ->transform(CLI::CheckedTransformer(types))
        ->default_str("bf16");
    graph->add_flag("!--dense", options->size.causal, "Without the causal mask");
    graph->add_option("--workers", options->workers, "cpu, cuda or all")
        ->transform(CLI::CheckedTransformer(workers))
        ->default_str("cpu");
    graph->add_option("--device-memory", options->device_bytes, "Bytes to use of each GPU")
        ->transform(CLI::AsSizeValue(false));
    graph->add_option("--rounds", options->rounds, "Measurements of each plan")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    graph->add_flag("!--no-torch", options->torch, "Leave PyTorch out");
    graph->add_option("--peers", options->peers, "Folder of torch_cpu.py")->capture_default_str();
    graph->add_option("--json", options->json, "Write the report to FILE, or - for stdout");
    graph->callback([options] { run_graph(*options); });
}

} // namespace cqsa::bench
