// SPDX-License-Identifier: Apache-2.0
// Rates of the CUDA codelets with all data on the GPU, beside those that bench/peers/torch_gpu.py
// measured in the same session.
// usage: cqsa_bench_cuda [--only cells,f32,lists,state,quorum,graph,small,memory] [--peers
// FILE.json]
//                        [--json FILE.json]
#include "bench/cuda/cases.hpp"
#include "bench/cuda/device.hpp"

#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace cqsa::bench {
namespace {

using nlohmann::json;

constexpr std::int64_t k1024 = 1024;

class Report {
  public:
    explicit Report(const std::string& peers) {
        if (!peers.empty()) {
            for (const json& row : json::parse(std::ifstream(peers))) {
                peers_[key(row)] = row;
            }
        }
    }

    /// A cell of the main table, with the peers' rates where they were measured.
    void cell(const attention_case& c) {
        json row = {{"case", "cell"},
                    {"dim", c.head_dim},
                    {"heads", c.heads},
                    {"tokens", c.tokens},
                    {"causal", c.causal},
                    {"type", c.type == data_type::bf16  ? "bfloat16"
                             : c.type == data_type::f16 ? "float16"
                                                        : "float32"},
                    {"ours", attention_rate(c)}};
        std::printf("%-9s d=%-3ld H=%-2ld %4ldK %-6s  ours %5.0f",
                    row["type"].get<std::string>().c_str(), c.head_dim, c.heads, c.tokens / k1024,
                    c.causal ? "causal" : "dense", row["ours"].get<double>());
        double best = 0;
        const auto peer = peers_.find(key(row));
        for (const char* name : {"cudnn", "fa2", "fa3", "efficient"}) {
            if (peer != peers_.end() && peer->second.contains(name)) {
                const double rate = peer->second[name];
                row[name] = rate;
                best = std::max(best, rate);
                std::printf("  %s %4.0f", name, rate);
            }
        }
        if (best > 0) {
            row["ratio"] = row["ours"].get<double>() / best;
            std::printf("  ratio to the best %.2f", row["ratio"].get<double>());
        }
        std::printf("\n");
        std::fflush(stdout);
        rows_.push_back(row);
    }

    /// A figure beside the one it is measured against.
    void ratio(const std::string& name, double value, double against, const char* unit) {
        rows_.push_back({{"case", name}, {"value", value}, {"against", against}, {"unit", unit}});
        std::printf("%-58s %6.0f of %6.0f %s: %.3f\n", name.c_str(), value, against, unit,
                    value / against);
        std::fflush(stdout);
    }

    void write(const std::string& path) const {
        if (!path.empty()) {
            std::ofstream(path) << rows_.dump(1) << '\n';
        }
    }

  private:
    static std::string key(const json& row) {
        return row["type"].get<std::string>() + std::to_string(row["dim"].get<int>()) + "," +
               std::to_string(row["heads"].get<int>()) + "," +
               std::to_string(row["tokens"].get<long>()) + "," +
               std::to_string(static_cast<int>(row["causal"].get<bool>()));
    }
    std::map<std::string, json> peers_;
    json rows_ = json::array();
};

void cells(Report& report) {
    for (const std::int64_t dim : {64, 128}) {
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
        report.ratio("blocks of 3840 tokens against one, 64K, d=" + std::to_string(dim) +
                         (causal ? ", causal" : ", dense"),
                     attention_rate(cut), attention_rate(whole), "TFLOP/s");
    }
}

void state(Report& report, std::int64_t dim) {
    for (const std::int64_t keys : {16 * k1024, 64 * k1024}) {
        const attention_case fresh{.head_dim = dim, .kv_tokens = keys};
        attention_case resumed = fresh;
        resumed.resume = true;
        report.ratio("state read and written against written, " + std::to_string(keys / k1024) +
                         "K keys, d=" + std::to_string(dim),
                     attention_rate(resumed), attention_rate(fresh), "TFLOP/s");
    }
}

void quorum(Report& report, std::int64_t dim) {
    const attention_case dense{.head_dim = dim, .tokens = 128 * k1024, .kv_tokens = 128 * k1024};
    report.ratio("a causal quorum's pairs in one launch, 128K, c=7, d=" + std::to_string(dim),
                 quorum_rate(dense), attention_rate(dense), "TFLOP/s");
}

void graph(Report& report, std::int64_t dim) {
    // The GPU's clock follows its temperature: what to compare with is measured beside each.
    const auto beside_whole = [&](const std::string& name, const attention_case& launches) {
        const double rate = attention_rate(launches);
        report.ratio(
            name + ", d=" + std::to_string(dim), rate,
            attention_rate({.head_dim = dim, .tokens = 128 * k1024, .kv_tokens = 128 * k1024}),
            "TFLOP/s");
    };
    for (const std::int64_t strip : {16, 64}) {
        for (const std::int64_t segment : {16, 32}) {
            beside_whole("8 launches, strip " + std::to_string(strip) + "K, segment " +
                             std::to_string(segment) + "K",
                         {.head_dim = dim,
                          .tokens = strip * k1024,
                          .kv_tokens = segment * k1024,
                          .block_tokens = 3840,
                          .launches = 8});
        }
    }
    // What small budgets make of it.
    for (const auto& [strip, segment] : {std::pair{4224, 4224}, {8448, 8448}, {25344, 8448}}) {
        beside_whole("32 launches, strip " + std::to_string(strip) + ", segment " +
                         std::to_string(segment),
                     {.head_dim = dim,
                      .tokens = strip,
                      .kv_tokens = segment,
                      .resume = true,
                      .launches = 32});
    }
}

void small(Report& report, std::int64_t dim) {
    const double large = attention_rate({.head_dim = dim});
    for (const std::int64_t tokens : {2, 4, 8, 16}) {
        report.ratio(std::to_string(tokens) +
                         "K queries and keys, 8 heads, d=" + std::to_string(dim) + " against 64K",
                     attention_rate(
                         {.head_dim = dim, .tokens = tokens * k1024, .kv_tokens = tokens * k1024}),
                     large, "TFLOP/s");
    }
}

void memory(Report& report) {
    const double copy = copy_bandwidth();
    for (const std::int64_t dim : {64, 128}) {
        report.ratio("merge, d=" + std::to_string(dim), merge_bandwidth(dim), copy, "GB/s");
        report.ratio("finalize, d=" + std::to_string(dim), finalize_bandwidth(dim), copy, "GB/s");
    }
}

int run(int argc, char** argv) {
    std::string only = "cells,f32,lists,state,quorum,graph,small,memory";
    std::string peers;
    std::string path;
    for (int i = 1; i + 1 < argc; i += 2) {
        const std::string option = argv[i];
        (option == "--only" ? only : option == "--peers" ? peers : path) = argv[i + 1];
    }
    const auto wanted = [&](const char* name) { return only.find(name) != std::string::npos; };
    Report report(peers);
    if (wanted("memory")) {
        memory(report);
    }
    for (const std::int64_t dim : {64, 128}) {
        if (wanted("lists")) {
            lists(report, dim);
        }
        if (wanted("state")) {
            state(report, dim);
        }
        if (wanted("quorum")) {
            quorum(report, dim);
        }
        if (wanted("graph")) {
            graph(report, dim);
        }
        if (wanted("small")) {
            small(report, dim);
        }
    }
    if (wanted("cells")) {
        cells(report);
    }
    if (wanted("f32")) {
        cells_f32(report);
    }
    report.write(path);
    return 0;
}

} // namespace
} // namespace cqsa::bench

int main(int argc, char** argv) {
    try {
        return cqsa::bench::run(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "cqsa_bench_cuda: %s\n", error.what());
        return 1;
    }
}
