// SPDX-License-Identifier: Apache-2.0
#include "runtime/tool/report.hpp"

#include "planner/describe.hpp"
#include "runtime/files/output_file.hpp"
#include "runtime/files/text.hpp"
#include "runtime/tool/quantities.hpp"
#include "runtime/tool/streams.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fmt/format.h>

namespace cqsa::tool {
namespace {

json json_of_problem(const problem& p) {
    json causal = nullptr;
    if (p.mask == mask_rule::causal_top_left) causal = "top-left";
    if (p.mask == mask_rule::causal_bottom_right) causal = "bottom-right";
    return {{"batch", p.batch},         {"heads", p.heads},
            {"kv_heads", p.kv_heads},   {"tokens", p.tokens},
            {"kv_tokens", p.kv_tokens}, {"head_dim", p.head_dim},
            {"dtype", name_of(p.type)}, {"out_dtype", name_of(p.out_type)},
            {"causal", causal}};
}

json json_of_cost(const cost& c) {
    return {{"seconds", c.seconds}, {"device_bytes", c.device_bytes}, {"host_bytes", c.host_bytes},
            {"flops", c.flops},     {"h2d_bytes", c.h2d_bytes},       {"d2h_bytes", c.d2h_bytes}};
}

std::string order_name(task_order order) {
    return order == task_order::quorum_major ? "quorum" : "query";
}

std::int64_t strip_tokens(const plan& p) {
    return std::min(p.strip_blocks * p.queries.block_tokens, p.queries.tokens);
}

std::int64_t segment_tokens(const plan& p) {
    return std::min(p.segment_blocks * p.keys.block_tokens, p.keys.tokens);
}

std::string counted(std::int64_t count, const char* noun) {
    return fmt::format("{} {}{}", grouped(count), noun, count == 1 ? "" : "s");
}

} // namespace

json json_of(const plan& plan) {
    json predicted = json_of_cost(plan.predicted);
    predicted["rates"] = plan.measured_rates ? "measured" : "assumed";
    return {{"schema", 1},
            {"version", CQSA_VERSION},
            {"problem", json_of_problem(plan.problem)},
            {"plan",
             {{"chunks", plan.chunks},
              {"quorum_size", plan.difference_set.size()},
              {"depth", plan.depth},
              {"order", order_name(plan.order)},
              {"block_tokens", plan.queries.block_tokens},
              {"strip_tokens", strip_tokens(plan)},
              {"segment_tokens", segment_tokens(plan)},
              {"tasks", plan.tasks},
              {"merges", plan.merges}}},
            {"predicted", predicted}};
}

json json_of(const attend_report& report, const std::optional<verification>& verified) {
    json out = json_of(report.plan);
    out["measured"] = json_of_cost(report.measured);
    out["measured"]["context_bytes"] = report.context_bytes;
    out["verify"] = nullptr;
    if (verified)
        out["verify"] = {{"rows", verified->rows},
                         {"max_abs_error", verified->max_abs_error},
                         {"rel_error", verified->rel_error},
                         {"lse_max_abs_error", verified->lse_max_abs_error}};
    out["workers"] = json::array();
    for (const auto& worker : report.workers)
        out["workers"].push_back({{"name", worker.name},
                                  {"tasks", worker.tasks},
                                  {"busy_seconds", worker.busy_seconds}});
    out["warning"] = nullptr;
    if (!report.warning.empty()) out["warning"] = report.warning;
    return out;
}

json json_of(const std::vector<processor_calibration>& measured) {
    json out = {{"schema", 1}, {"version", CQSA_VERSION}, {"processors", json::array()}};
    for (const processor_calibration& one : measured) {
        json rates = json::array();
        for (const measured_rates& m : one.rates)
            rates.push_back({{"dtype", name_of(m.type)},
                             {"head_dim", m.head_dim},
                             {"threads", m.threads},
                             {"attend_flops_per_second", m.rates.attend_flops_per_second},
                             {"merge_bytes_per_second", m.rates.merge_bytes_per_second},
                             {"task_seconds", m.rates.task_seconds},
                             {"h2d_bytes_per_second", m.rates.h2d_bytes_per_second},
                             {"d2h_bytes_per_second", m.rates.d2h_bytes_per_second},
                             {"touch_bytes_per_second", m.rates.touch_bytes_per_second}});
        out["processors"].push_back(
            {{"processor", one.processor}, {"path", one.path}, {"rates", rates}});
    }
    return out;
}

json json_of(const machine_report& machine) {
    json out = {{"schema", 1},
                {"version", CQSA_VERSION},
                {"cpu", machine.cpu},
                {"cores", machine.cores},
                {"cpu_paths", machine.cpu_paths},
                {"memory_bytes", machine.memory_bytes},
                {"free_memory_bytes", machine.free_memory_bytes},
                {"gpus", json::array()},
                {"cuda_version", machine.cuda_version},
                {"starpu_version", machine.starpu_version},
                {"fxt", machine.fxt},
                {"environment", json::object()},
                {"advice", machine.advice}};
    out["rates"] = json::array();
    for (const auto& one : machine.rates)
        out["rates"].push_back({{"processor", one.processor},
                                {"measured", one.measured},
                                {"path", one.path},
                                {"damage", one.damage}});
    for (const auto& gpu : machine.gpus)
        out["gpus"].push_back({{"name", gpu.name},
                               {"compute_capability", gpu.compute_capability},
                               {"memory_bytes", gpu.memory_bytes},
                               {"free_memory_bytes", gpu.free_memory_bytes},
                               {"unsupported", gpu.unsupported}});
    for (const auto& [name, value] : machine.environment)
        out["environment"][name] = value;
    return out;
}

std::string text_of(const problem& p) {
    std::string out = fmt::format("{} x {} x {} x {}, {}", p.batch, counted(p.heads, "head"),
                                  counted(p.tokens, "token"), p.head_dim, name_of(p.type));
    if (p.kv_heads != p.heads) out += fmt::format(", {}", counted(p.kv_heads, "key head"));
    if (p.kv_tokens != p.tokens) out += fmt::format(", {}", counted(p.kv_tokens, "key token"));
    if (p.mask == mask_rule::causal_top_left) out += ", causal";
    if (p.mask == mask_rule::causal_bottom_right) out += ", causal from the bottom right";
    return out;
}

std::string text_of(const plan& plan) {
    std::string out = fmt::format("{} in quorums of {}", counted(plan.chunks, "chunk"),
                                  plan.difference_set.size());
    if (plan.depth > 1) out += fmt::format(", {} levels deep", plan.depth);
    out += fmt::format(", {}-major; strips of {} x segments of {} tokens; {}",
                       order_name(plan.order), grouped(strip_tokens(plan)),
                       grouped(segment_tokens(plan)), counted(plan.tasks, "task"));
    if (plan.merges > 0) out += fmt::format(", {}", counted(plan.merges, "merge"));
    return out;
}

std::string text_of(const cost& measured) {
    std::string out = text_of_seconds(measured.seconds);
    if (measured.seconds > 0)
        out += fmt::format(", {}",
                           text_of_rate(static_cast<double>(measured.flops) / measured.seconds));
    if (measured.device_bytes > 0)
        out += fmt::format(", {} of device memory", bytes_for_people(measured.device_bytes));
    return out + fmt::format(", {} of main memory beside the arrays",
                             bytes_for_people(measured.host_bytes));
}

std::string text_of(const verification& verified, const error_bound& bound) {
    return fmt::format("{} in float64: relative error {:.1e} (rounding explains {:.1e}), lse error "
                       "{:.1e} ({:.1e})",
                       counted(verified.rows, "row"), verified.rel_error, bound.rel_error,
                       verified.lse_max_abs_error, bound.lse_abs_error);
}

std::string text_of(const std::vector<processor_calibration>& measured) {
    std::string out;
    for (const processor_calibration& one : measured) {
        out += one.processor + "\n";
        for (const measured_rates& m : one.rates) {
            out += fmt::format("  {:<5}{:>4}   attend {:>11}   merge {:.3g} GB/s   task {:.1f} us",
                               name_of(m.type), m.head_dim,
                               text_of_rate(m.rates.attend_flops_per_second),
                               1e-9 * m.rates.merge_bytes_per_second, 1e6 * m.rates.task_seconds);
            if (m.threads > 0) out += fmt::format("   {}", counted(m.threads, "thread"));
            if (m.threads == 0)
                out +=
                    fmt::format("   bus {:.3g}, {:.3g} GB/s", 1e-9 * m.rates.h2d_bytes_per_second,
                                1e-9 * m.rates.d2h_bytes_per_second);
            out += '\n';
        }
        if (one.rates.empty()) out += "  no kernel for the types asked for\n";
        if (!one.path.empty()) out += fmt::format("  in {}\n", files::printable(one.path));
    }
    return out;
}

std::string text_of(const machine_report& machine) {
    std::string paths;
    for (const std::string& path : machine.cpu_paths)
        paths += (paths.empty() ? "" : ", ") + path;
    std::string out = fmt::format("cqsa      {}\n", CQSA_VERSION);
    out += fmt::format("cpu       {}, {}\n", machine.cpu, counted(machine.cores, "core"));
    out += fmt::format("kernels   {}\n", paths);
    out += fmt::format("memory    {}, {} available\n", bytes_for_people(machine.memory_bytes),
                       bytes_for_people(machine.free_memory_bytes));
    out += fmt::format("starpu    {}{}\n", machine.starpu_version,
                       machine.fxt ? ", records traces" : ", without FxT: no traces");
    out += fmt::format("cuda      {}\n",
                       machine.cuda_version.empty() ? "not in this build" : machine.cuda_version);
    for (const auto& gpu : machine.gpus) {
        out += fmt::format("gpu       {}, compute capability {}, {}, {} free\n", gpu.name,
                           gpu.compute_capability, bytes_for_people(gpu.memory_bytes),
                           bytes_for_people(gpu.free_memory_bytes));
        if (!gpu.unsupported.empty()) out += fmt::format("          {}\n", gpu.unsupported);
    }
    if (machine.gpus.empty()) out += "gpu       none found\n";
    for (const auto& one : machine.rates) {
        std::string measured;
        for (const std::string& size : one.measured)
            measured += (measured.empty() ? "measured for " : ", ") + size;
        out += fmt::format("rates     {}: {}\n", one.processor,
                           measured.empty() ? "assumed" : measured);
        if (!one.damage.empty()) out += fmt::format("          {}\n", files::printable(one.damage));
    }
    for (const auto& [name, value] : machine.environment)
        out += fmt::format("setting   {}={}\n", name, files::printable(value));
    for (const std::string& sentence : machine.advice)
        out += fmt::format("advice    {}\n", sentence);
    return out;
}

void write_report(const std::string& path, const json& report) {
    const std::string text = report.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
    if (path == "-") {
        std::fputs(text.c_str(), stdout);
        flush_stdout();
        return;
    }
    files::OutputFile file(path, static_cast<std::int64_t>(text.size()),
                           "--json " + files::printable(path));
    std::memcpy(file.bytes().data(), text.data(), text.size());
    file.commit();
}
} // namespace cqsa::tool
