// SPDX-License-Identifier: Apache-2.0
// cqsa_bench cpu: the OpenMP codelets beside PyTorch, the small-GEMM library and memcpy.
#include "bench/cases.hpp"
#include "bench/gemm_rate.hpp"
#include "bench/report.hpp"
#include "bench/subcommands.hpp"
#include "bench/timing.hpp"
#include "bench/torch_peer.hpp"
#include "codelets/cpu/isa.hpp"
#include "codelets/finalize/finalize.hpp"
#include "codelets/merge/merge.hpp"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>
#include <map>
#include <memory>
#include <omp.h>
#include <optional>
#include <string>
#include <vector>

namespace cqsa::bench {
namespace {

struct cpu_options {
    std::int64_t tokens = 8192;
    std::int64_t heads = 8;
    std::vector<std::int64_t> dims = usual_head_dims;
    std::vector<data_type> types = usual_types;
    std::vector<bool> causal = usual_masks;
    int threads = omp_get_max_threads();
    int rounds = 3;
    bool torch = true;
    std::string peers = peers_folder();
    std::string json;
};

/// Where the tables go: out of the way when the report is for stdout.
std::FILE* table_output(const cpu_options& options) {
    return options.json == "-" ? stderr : stdout;
}

std::optional<double> quotient(std::optional<double> a, std::optional<double> b) {
    return a && b ? std::optional(*a / *b) : std::nullopt;
}

nlohmann::json or_null(std::optional<double> x) {
    return x ? nlohmann::json(*x) : nlohmann::json(nullptr);
}

/// One case: calls of ours, of the small-GEMM library and of PyTorch take turns, medians of each.
/// Each turn begins with a call that is not counted, during which PyTorch's team may still wait
/// actively for work.
nlohmann::json measure_attend(const attend_case& x, const cpu_options& options, TorchPeer& torch) {
    const AttendOperands operands(x);
    const attend_task task = operands.task();
    const Buffer workspace(openmp::attend_workspace_bytes(task, options.threads));
    const auto attend = [&] {
        openmp::attend(task, {workspace.data(), workspace.bytes()}, options.threads);
    };
    const auto products = gemm_library(x.type, x.tokens, x.head_dim, options.threads);
    std::vector<double> ours(static_cast<std::size_t>(options.rounds));
    std::vector<double> theirs;
    std::vector<double> gemms;
    for (double& seconds : ours) {
        attend();
        seconds = seconds_of(attend);
        if (products) {
            gemms.push_back(products());
        }
        if (const auto answer = torch.attend_seconds(x)) {
            theirs.push_back(*answer);
        }
    }
    const std::optional<double> rate = x.flops() / median(ours);
    const std::optional<double> torch_rate =
        theirs.empty() ? std::nullopt : std::optional(x.flops() / median(theirs));
    const std::optional<double> gemm = gemms.empty() ? std::nullopt : std::optional(median(gemms));
    return {{"type", name_of(x.type)},
            {"head_dim", x.head_dim},
            {"causal", x.causal},
            {"heads", x.heads},
            {"tokens", x.tokens},
            {"workspace_bytes", workspace.bytes()},
            {"seconds", median(ours)},
            {"flops_per_second", *rate},
            {"torch_flops_per_second", or_null(torch_rate)},
            {"ratio_to_torch", or_null(quotient(rate, torch_rate))},
            {"gemm_library_flops_per_second", or_null(gemm)},
            {"fraction_of_gemm_library", or_null(quotient(rate, gemm))}};
}

std::optional<double> value_of(const nlohmann::json& row, const char* key, double unit = 1) {
    return row[key].is_null() ? std::nullopt : std::optional(row[key].get<double>() / unit);
}

nlohmann::json measure_attends(const cpu_options& options, TorchPeer& torch) {
    const Table table(table_output(options), {{"type", 5},
                                              {"dim", 5},
                                              {"mask", 8},
                                              {"GFLOP/s", 10},
                                              {"PyTorch", 10},
                                              {"ratio", 7},
                                              {"libxsmm", 10},
                                              {"fraction", 10}});
    nlohmann::json rows = nlohmann::json::array();
    for (const data_type type : options.types) {
        for (const std::int64_t d : options.dims) {
            for (const bool causal : options.causal) {
                const nlohmann::json row = measure_attend(
                    {type, options.heads, options.tokens, d, causal}, options, torch);
                table.row({std::string(name_of(type)), std::to_string(d),
                           causal ? "causal" : "dense",
                           number(value_of(row, "flops_per_second", 1e9), 0),
                           number(value_of(row, "torch_flops_per_second", 1e9), 0),
                           number(value_of(row, "ratio_to_torch"), 2),
                           number(value_of(row, "gemm_library_flops_per_second", 1e9), 0),
                           number(value_of(row, "fraction_of_gemm_library"), 2)});
                rows.push_back(row);
            }
        }
    }
    return rows;
}

/// Bytes read and written per second by repeated calls.
double bytes_per_second(double bytes, const auto& call) {
    call();
    return bytes / median_seconds(9, call);
}

double memcpy_bytes_per_second(const Buffer& to, const Buffer& from, int threads) {
    const std::size_t bytes = std::min(to.bytes(), from.bytes());
    return bytes_per_second(2.0 * static_cast<double>(bytes), [&] {
#pragma omp parallel num_threads(threads)
        {
            const auto thread = static_cast<std::size_t>(omp_get_thread_num());
            const auto team = static_cast<std::size_t>(omp_get_num_threads());
            const std::size_t begin = bytes * thread / team;
            const std::size_t end = bytes * (thread + 1) / team;
            std::memcpy(to.data() + begin, from.data() + begin, end - begin);
        }
    });
}

nlohmann::json measure_bandwidths(const cpu_options& options) {
    const Table table(
        table_output(options),
        {{"operation", 14}, {"dim", 5}, {"GB/s", 8}, {"memcpy", 8}, {"fraction", 10}});
    nlohmann::json rows = nlohmann::json::array();
    for (const std::int64_t d : options.dims) {
        attend_case x;
        x.heads = options.heads;
        x.tokens = options.tokens;
        x.head_dim = d;
        const state_layout layout(x.problem(), x.tokens);
        const Buffer into(layout.bytes());
        const Buffer from(layout.bytes());
        const Buffer out(layout.acc_bytes);
        for (const Buffer* buffer : {&into, &from}) { // a state that is not empty
            std::fill_n(static_cast<float*>(layout.view(buffer->data()).l), x.heads * x.tokens,
                        1.0F);
        }
        const auto state_bytes = static_cast<double>(layout.bytes());
        const double copy = memcpy_bytes_per_second(into, from, options.threads);
        const auto report = [&](const std::string& name, double rate) {
            table.row({name, std::to_string(d), number(rate / 1e9, 1), number(copy / 1e9, 1),
                       number(rate / copy, 2)});
            rows.push_back({{"operation", name},
                            {"head_dim", d},
                            {"bytes_per_second", rate},
                            {"memcpy_bytes_per_second", copy}});
        };
        merge_task merge;
        merge.rows = x.heads * x.tokens;
        merge.head_dim = d;
        merge.into = layout.view(into.data());
        merge.from = layout.view(from.data());
        report("merge",
               bytes_per_second(3 * state_bytes, [&] { openmp::merge(merge, options.threads); }));
        for (const data_type type : {data_type::f32, data_type::bf16, data_type::f16}) {
            finalize_task finalize;
            finalize.out_type = type;
            finalize.heads = x.heads;
            finalize.tokens = x.tokens;
            finalize.head_dim = d;
            finalize.state = layout.view(from.data());
            finalize.out = {out.data(), x.heads * x.tokens * d, x.tokens * d, d};
            const double bytes = state_bytes + static_cast<double>(layout.acc_bytes) *
                                                   static_cast<double>(bytes_of(type)) / 4;
            report("finalize " + std::string(name_of(type)),
                   bytes_per_second(bytes, [&] { openmp::finalize(finalize, options.threads); }));
        }
    }
    return rows;
}

void run_cpu(const cpu_options& options) {
    std::FILE* out = table_output(options);
    nlohmann::json report = machine();
    TorchPeer torch(options.torch ? options.peers : "", "torch_cpu.py",
                    std::to_string(options.threads));
    fmt::print(out, "{}, {}, {} threads; [1, {}, {}, dim]\n",
               report["processor"].get<std::string>(), name_of(selected_isa()), options.threads,
               options.heads, options.tokens);
    if (!torch.version().empty()) {
        fmt::print(out, "{}\n", torch.version());
    } else if (options.torch) {
        fmt::print(stderr, "{}\n", torch.why());
    }
    report["isa"] = name_of(selected_isa());
    report["threads"] = options.threads;
    report["torch"] = torch.version();
    report["attend"] = measure_attends(options, torch);
    report["bandwidth"] = measure_bandwidths(options);
    if (!options.json.empty()) {
        write_json(options.json, report);
    }
}

} // namespace

void add_cpu(CLI::App& app) {
    static const std::map<std::string, data_type> types{{"f32", data_type::f32},
                                                        {"bf16", data_type::bf16},
                                                        {"f16", data_type::f16},
                                                        {"f64", data_type::f64}};
    static const std::map<std::string, std::vector<bool>> masks{
        {"causal", {true}}, {"dense", {false}}, {"both", {true, false}}};
    const auto options = std::make_shared<cpu_options>();
    CLI::App* cpu = app.add_subcommand(
        "cpu", "attend, merge and finalize on this machine's processor, beside PyTorch's attention "
               "(run by $CQSA_PYTHON or python3), the products alone in libxsmm, and memcpy");
    cpu->add_option("--tokens", options->tokens, "Queries, and keys")->capture_default_str();
    cpu->add_option("--heads", options->heads, "Heads")->capture_default_str();
    cpu->add_option("--dims", options->dims, "Head dimensions")
        ->delimiter(',')
        ->check(CLI::Range(1, 256))
        ->capture_default_str();
    cpu->add_option("--types", options->types, "Element types: f32,bf16,f16,f64")
        ->delimiter(',')
        ->transform(CLI::CheckedTransformer(types))
        ->default_str("f32,bf16");
    cpu->add_option_function<std::string>(
           "--mask", [options](const std::string& name) { options->causal = masks.at(name); },
           "causal, dense or both")
        ->check(CLI::IsMember({"causal", "dense", "both"}))
        ->default_str("both");
    cpu->add_option("--threads", options->threads, "Threads")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    cpu->add_option("--rounds", options->rounds, "Measurements of each, in turns")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    cpu->add_flag("!--no-torch", options->torch, "Leave PyTorch out");
    cpu->add_option("--peers", options->peers, "Folder of torch_cpu.py")->capture_default_str();
    cpu->add_option("--json", options->json, "Write the report to FILE, or - for stdout");
    cpu->callback([options] { run_cpu(*options); });
}

} // namespace cqsa::bench
