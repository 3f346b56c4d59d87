// SPDX-License-Identifier: Apache-2.0
// Rates of the CUDA codelets with all data on the GPU, beside their peers.
#include "bench/cuda/cases.hpp"
#include "bench/cuda/device.hpp"
#include "bench/timing.hpp"
#include "bench/torch_peer.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace cqsa::bench {
namespace {

using nlohmann::json;

constexpr std::int64_t k1024 = 1024;

struct cuda_options {
    std::vector<std::string> only{"cells",  "f32",   "lists", "state",
                                  "quorum", "graph", "small", "memory"};
    std::vector<std::int64_t> dims{32, 64, 96, 128, 192, 256};
    int rounds = 1;
    bool peers = true;
    std::string json;
};

class Report {
  public:
    explicit Report(const cuda_options& options)
        : options_(options), peer_(options.peers ? peers_folder() : "", "torch_gpu.py") {
        if (options.peers)
            std::printf("%s\n", (peer_.version().empty() ? peer_.why() : peer_.version()).c_str());
    }

    /// A cell of the main table, ours and the peers in turn: medians over the rounds, and of their
    /// ratios.
    void cell(const attention_case& c) {
        const attend_case same{c.type, c.heads, c.tokens, c.head_dim, c.causal};
        std::vector<double> ours;
        std::map<std::string, std::vector<double>> peers;
        std::vector<double> ratios;
        for (int i = 0; i < options_.rounds; ++i) {
            ours.push_back(attention_rate(c));
            double best = 0;
            for (const auto& [name, seconds] : peer_.attend_times(same)) {
                peers[name].push_back(1e-12 * same.flops() / seconds);
                best = std::max(best, peers[name].back());
            }
            if (best > 0) ratios.push_back(ours.back() / best);
        }
        json row = {{"case", "cell"},      {"dim", c.head_dim},
                    {"heads", c.heads},    {"tokens", c.tokens},
                    {"causal", c.causal},  {"type", std::string(name_of(c.type))},
                    {"ours", median(ours)}};
        std::printf("%-4s d=%-3ld H=%-2ld %4ldK %-6s  ours %5.0f",
                    row["type"].get<std::string>().c_str(), c.head_dim, c.heads, c.tokens / k1024,
                    c.causal ? "causal" : "dense", row["ours"].get<double>());
        for (const auto& [name, rates] : peers) {
            row[name] = median(rates);
            std::printf("  %s %4.0f", name.c_str(), median(rates));
        }
        if (!ratios.empty()) {
            row["ratio"] = median(ratios);
            std::printf("  ratio to the best %.2f", median(ratios));
        }
        std::printf("\n");
        add(std::move(row));
    }

    /// A case beside the one it is measured against, in turns.
    void compare(const std::string& name, const attention_case& value,
                 const attention_case& against) {
        const auto [rate, other] = compared_rates(value, against);
        ratio(name, rate, other, "TFLOP/s");
    }

    /// A figure beside the one it is measured against.
    void ratio(const std::string& name, double value, double against, const char* unit) {
        std::printf("%-58s %6.0f of %6.0f %s: %.3f\n", name.c_str(), value, against, unit,
                    value / against);
        add({{"case", name}, {"value", value}, {"against", against}, {"unit", unit}});
    }

    [[nodiscard]] bool wants(const char* group) const {
        return std::ranges::find(options_.only, group) != options_.only.end();
    }
    [[nodiscard]] bool wants(std::int64_t head_dim) const {
        return std::ranges::find(options_.dims, head_dim) != options_.dims.end();
    }

  private:
    /// Rows are kept as they come; the machine may be taken away.
    void add(json row) {
        std::fflush(stdout);
        rows_.push_back(std::move(row));
        if (!options_.json.empty()) std::ofstream(options_.json) << rows_.dump(1) << '\n';
    }

    const cuda_options& options_;
    TorchPeer peer_;
    json rows_ = json::array();
};

void cells(Report& report) {
    for (const std::int64_t dim : {64, 128}) {
        if (!report.wants(dim)) continue;
        for (const std::int64_t heads : {8, 32}) {
            for (const std::int64_t tokens : {16 * k1024, 64 * k1024, 128 * k1024}) {
                for (const bool causal : {true, false}) {
                    report.cell({.head_dim = dim,
                                 .heads = heads,
                                 .tokens = tokens,
                                 .kv_tokens = tokens,
                                 .causal = causal});
                }
            }
        }
        for (const bool causal : {true, false}) {
            report.cell({.type = data_type::f16, .head_dim = dim, .causal = causal});
        }
    }
    for (const std::int64_t dim : {32, 96, 192, 256}) {
        if (!report.wants(dim)) continue;
        for (const std::int64_t tokens : {16 * k1024, 64 * k1024}) {
            for (const bool causal : {true, false}) {
                report.cell(
                    {.head_dim = dim, .tokens = tokens, .kv_tokens = tokens, .causal = causal});
            }
        }
    }
}

void cells_f32(Report& report) {
    for (const std::int64_t dim : {64, 128}) {
        if (!report.wants(dim)) continue;
        for (const bool causal : {true, false}) {
            report.cell({.type = data_type::f32,
                         .head_dim = dim,
                         .tokens = 16 * k1024,
                         .kv_tokens = 16 * k1024,
                         .causal = causal});
        }
    }
}

void lists(Report& report, std::int64_t dim) {
    for (const bool causal : {true, false}) {
        const attention_case whole{.head_dim = dim, .causal = causal};
        attention_case cut = whole;
        cut.block_tokens = 3840;
        report.compare("blocks of 3840 tokens against one, 64K, d=" + std::to_string(dim) +
                           (causal ? ", causal" : ", dense"),
                       cut, whole);
    }
}

void state(Report& report, std::int64_t dim) {
    for (const std::int64_t keys : {16 * k1024, 64 * k1024}) {
        const attention_case fresh{.head_dim = dim, .kv_tokens = keys};
        attention_case resumed = fresh;
        resumed.resume = true;
        report.compare("state read and written against written, " + std::to_string(keys / k1024) +
                           "K keys, d=" + std::to_string(dim),
                       resumed, fresh);
    }
}

/// 128K tokens, dense: what a GPU that has enough to do reaches.
attention_case large(std::int64_t dim) {
    return {.head_dim = dim, .tokens = 128 * k1024, .kv_tokens = 128 * k1024};
}

void quorum(Report& report, std::int64_t dim) {
    attention_case c = large(dim);
    c.block_tokens = (c.tokens / 7 + 127) / 128 * 128;
    c.quorum = true;
    report.compare("a causal quorum's pairs in one launch, 128K, c=7, d=" + std::to_string(dim), c,
                   large(dim));
}

/// The launches that the graph makes, of whole blocks.
void graph(Report& report, std::int64_t dim) {
    constexpr std::int64_t block = 3840;
    const auto compare = [&](attention_case launches) {
        launches.head_dim = dim;
        report.compare(std::to_string(launches.launches) + " launches, strip " +
                           std::to_string(launches.tokens) + ", segment " +
                           std::to_string(launches.kv_tokens) + ", d=" + std::to_string(dim),
                       launches, large(dim));
    };
    for (const std::int64_t strip : {4 * block, 17 * block}) {
        for (const std::int64_t segment : {4 * block, 8 * block}) {
            compare({.tokens = strip, .kv_tokens = segment, .block_tokens = block, .launches = 8});
        }
    }
    // What small budgets make of it.
    for (const auto& [strip, segment] : {std::pair{4224, 4224}, {8448, 8448}, {25344, 8448}}) {
        compare({.tokens = strip, .kv_tokens = segment, .resume = true, .launches = 32});
    }
}

void small(Report& report, std::int64_t dim) {
    for (const std::int64_t tokens : {2, 4, 8, 16}) {
        report.compare(std::to_string(tokens) +
                           "K queries and keys, 8 heads, d=" + std::to_string(dim) + " against 64K",
                       {.head_dim = dim, .tokens = tokens * k1024, .kv_tokens = tokens * k1024},
                       {.head_dim = dim});
    }
}

void memory(Report& report) {
    const double copy = copy_bandwidth();
    for (const std::int64_t dim : {64, 128}) {
        report.ratio("merge, d=" + std::to_string(dim), merge_bandwidth(dim), copy, "GB/s");
        report.ratio("finalize, d=" + std::to_string(dim), finalize_bandwidth(dim), copy, "GB/s");
    }
}

void run(const cuda_options& options) {
    Report report(options);
    if (report.wants("memory")) memory(report);
    for (const std::int64_t dim : {64, 128}) {
        if (!report.wants(dim)) continue;
        if (report.wants("lists")) lists(report, dim);
        if (report.wants("state")) state(report, dim);
        if (report.wants("quorum")) quorum(report, dim);
        if (report.wants("graph")) graph(report, dim);
        if (report.wants("small")) small(report, dim);
    }
    if (report.wants("cells")) cells(report);
    if (report.wants("f32")) cells_f32(report);
}

int parse_and_run(int argc, char** argv) {
    cuda_options options;
    CLI::App app("Rates of the CUDA codelets with all data on the GPU, beside those of PyTorch "
                 "(run by $CQSA_PYTHON or python3) and FlashAttention-3 (wheel fa3-fwd).",
                 "cqsa_bench_cuda");
    app.add_option("--only", options.only, "Groups of cases")
        ->delimiter(',')
        ->check(CLI::IsMember(options.only))
        ->capture_default_str();
    app.add_option("--dims", options.dims, "Head dimensions")
        ->delimiter(',')
        ->check(CLI::IsMember(options.dims))
        ->capture_default_str();
    app.add_option("--rounds", options.rounds, "Measurements of each cell, ours and peers in turn")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_flag("!--no-peers", options.peers, "Ours alone");
    app.add_option("--json", options.json, "Write the report to FILE, after each row");
    CLI11_PARSE(app, argc, argv);
    run(options);
    return 0;
}

} // namespace
} // namespace cqsa::bench

int main(int argc, char** argv) {
    try {
        return cqsa::bench::parse_and_run(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "cqsa_bench_cuda: %s\n", error.what());
        return 1;
    }
}
