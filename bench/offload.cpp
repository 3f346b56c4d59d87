// SPDX-License-Identifier: Apache-2.0
// cqsa_bench offload: attention of data in host memory on a GPU, at one budget of device memory
// after another, beside the same kernel with everything resident.
#include "bench/in_core.hpp"
#include "bench/report.hpp"
#include "bench/subcommands.hpp"
#include "bench/timing.hpp"
#include "planner/describe.hpp"
#include "runtime/session.hpp"
#include "runtime/tool/quantities.hpp"

#include <algorithm>
#include <chrono>
#include <fmt/format.h>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

namespace cqsa::bench {
namespace {

struct offload_options {
    std::string tokens = "1M";
    attend_case size{data_type::bf16, 8, 0, 64, true};
    std::vector<std::string> budgets{"512MiB"};
    worker_set workers = worker_set::cuda;
    bool compare = false;
    std::int64_t chunks = 7;
    std::vector<std::string> cuts;
    bool in_core = true;
    int rounds = 1;
    std::int64_t verify_rows = 0;
    std::optional<double> limit_seconds;
    bool filled = true;
    bool pinned = false;
    std::string json;
};

/// A kind of plan: what to ask of the planner, and what else where that does not fit.
struct plan_row {
    std::string name;
    std::vector<attend_options> requests;
};

attend_options request_for(std::optional<std::int64_t> chunks, std::optional<task_order> order) {
    attend_options request;
    request.chunks = chunks;
    request.order = order;
    return request;
}

/// The undivided schedule with strips and segments of about so many tokens.
attend_options request_for_cut(const std::string& cut) {
    const std::size_t times = cut.find('x');
    if (times == std::string::npos)
        throw Error(error_code::usage, "--cuts: '" + cut + "' is not of the form STRIPxSEGMENT");
    attend_options request = request_for(1, task_order::query_major);
    request.strip_tokens = tool::parse_count("--cuts", cut.substr(0, times), 1);
    request.segment_tokens = tool::parse_count("--cuts", cut.substr(times + 1), 1);
    return request;
}

/// The subsequence attention of a quorum as one task, as in the paper. The planner tries up to 133
/// chunks; where their quorums do not fit, the next perfect sets.
plan_row whole_quorums(std::int64_t tokens) {
    plan_row row{"whole quorums", {}};
    for (const std::optional<std::int64_t> chunks :
         {std::optional<std::int64_t>{}, {183}, {307}, {553}, {993}, {1723}}) {
        attend_options request = request_for(chunks, task_order::quorum_major);
        request.strip_tokens = request.segment_tokens = tokens;
        row.requests.push_back(request);
    }
    return row;
}

std::vector<plan_row> rows_of(const offload_options& options) {
    std::vector<plan_row> rows{{"planner's choice", {attend_options{}}}};
    if (options.compare) {
        rows.push_back({"quorum-major", {request_for(options.chunks, task_order::quorum_major)}});
        rows.push_back({"query-major", {request_for(options.chunks, task_order::query_major)}});
        rows.push_back({"undivided", {request_for(1, task_order::query_major)}});
        rows.push_back(whole_quorums(options.size.tokens));
    }
    for (const std::string& cut : options.cuts)
        rows.push_back({cut, {request_for_cut(cut)}});
    return rows;
}

/// Of device memory; nothing: all that is free.
using device_budget = std::optional<std::int64_t>;

device_budget budget_of(const std::string& text) {
    if (text == "all") return std::nullopt;
    return tool::parse_bytes("--device-memory", text);
}

std::string budget_text(const device_budget& budget) {
    if (!budget) return "all";
    const bool whole_gib = *budget % (std::int64_t{1} << 30) == 0;
    return whole_gib ? fmt::format("{} GiB", *budget >> 30)
                     : fmt::format("{:.4g} MiB", static_cast<double>(*budget) / (1 << 20));
}

nlohmann::json json_of(const plan& plan) {
    return {{"chunks", plan.chunks},
            {"quorum_size", plan.difference_set.size()},
            {"order", plan.order == task_order::query_major ? "query" : "quorum"},
            {"flow", plan.flow == state_flow::merged ? "merged" : "continued"},
            {"block_tokens", plan.queries.block_tokens},
            {"kv_block_tokens", plan.keys.block_tokens},
            {"strip_tokens", plan.strip_blocks * plan.queries.block_tokens},
            {"segment_tokens", plan.segment_blocks * plan.keys.block_tokens},
            {"interleave", plan.interleave},
            {"tasks", plan.tasks},
            {"merges", plan.merges}};
}

nlohmann::json json_of(const cost& cost) {
    return {{"seconds", cost.seconds},
            {"device_bytes", cost.device_bytes},
            {"host_bytes", cost.host_bytes},
            {"h2d_bytes", cost.h2d_bytes},
            {"d2h_bytes", cost.d2h_bytes}};
}

nlohmann::json json_of(const attend_case& size) {
    return {{"tokens", size.tokens},     {"heads", size.heads},
            {"head_dim", size.head_dim}, {"dtype", std::string(name_of(size.type))},
            {"causal", size.causal},     {"flops", size.flops()}};
}

class Offload {
  public:
    explicit Offload(const offload_options& options)
        : options_(options), plans_(rows_of(options)), out_(options.json == "-" ? stderr : stdout),
          report_(machine()), begin_(std::chrono::steady_clock::now()) {
        std::ranges::transform(options_.budgets, std::back_inserter(budgets_), budget_of);
    }

    void run() {
        report_["gpu"] = gpu_name();
        report_["problem"] = json_of(options_.size);
        report_["rounds"] = options_.rounds;
        report_["rows"] = nlohmann::json::array();
        const double making = seconds_of([&] { host_.emplace(options_.size, options_.filled); });
        fmt::print(out_, "[1, {}, {}, {}] {} {} on {}; inputs made in {:.1f} s\n",
                   options_.size.heads, options_.size.tokens, options_.size.head_dim,
                   name_of(options_.size.type), options_.size.causal ? "causal" : "dense",
                   report_["gpu"].get<std::string>(), making);
        attempt("load", [&] { load_kernels(options_.size); });
        if (options_.in_core) measure_resident();
        report_["pinned_by_caller"] = options_.pinned;
        if (options_.pinned) pinned_.emplace(*host_);
        fmt::print(out_, "first, call: the whole call; graph: from the first task to the last "
                         "output; model: predicted; ratio: in-core / call; MiB: seen by the "
                         "driver; said: by the run\n");
        const Table table(out_, {{"budget", 8},
                                 {"plan", 17},
                                 {"order", 7},
                                 {"c", 5},
                                 {"strip", 8},
                                 {"segment", 8},
                                 {"tasks", 7},
                                 {"first s", 8},
                                 {"call s", 8},
                                 {"graph s", 8},
                                 {"model", 7},
                                 {"ratio", 6},
                                 {"MiB", 6},
                                 {"said", 6},
                                 {"model", 6},
                                 {"H2D GB", 7},
                                 {"model", 7},
                                 {"D2H", 6},
                                 {"error", 8}});
        for (const device_budget& budget : budgets_) {
            if (is_late()) break;
            measure_budget(table, budget);
        }
        save(true);
    }

  private:
    [[nodiscard]] bool is_late() const {
        const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin_;
        return options_.limit_seconds && elapsed.count() > *options_.limit_seconds;
    }

    /// Rows are kept as they come; the machine may be taken away.
    void save(bool at_end) const {
        if (!options_.json.empty() && (at_end || options_.json != "-")) {
            write_json(options_.json, report_);
        }
    }

    bool attempt(const std::string& what, const std::function<void()>& call) const {
        try {
            call();
            return true;
        } catch (const Error& error) {
            fmt::print(out_, "{}: {}\n", what, error.what());
            std::fflush(out_);
            return false;
        }
    }

    void measure_resident() {
        attempt("in-core", [&] {
            const in_core_times times = measure_in_core(options_.size, *host_, options_.rounds);
            report_["in_core"] = {{"seconds", times.kernel},
                                  {"transfer_seconds", times.transfers},
                                  {"device_bytes", times.device_bytes}};
            in_core_seconds_ = times.kernel;
            fmt::print(out_, "in-core: {:.4f} s ({:.0f} TFLOP/s), transfers {:.4f} s, {}\n",
                       times.kernel, 1e-12 * options_.size.flops() / times.kernel, times.transfers,
                       bytes_for_people(times.device_bytes));
            std::fflush(out_);
            save(false);
        });
    }

    /// Before everything that is timed, so that all begins with the GPU equally rested.
    static void pause() { std::this_thread::sleep_for(std::chrono::milliseconds(300)); }

    /// Seconds of the kernel alone now: the GPU's clock follows temperature and power, so that only
    /// neighbours in time compare. That of the start where the session leaves no room for it.
    [[nodiscard]] double in_core_now() const {
        pause();
        try {
            return measure_in_core(options_.size, *host_, 0).kernel;
        } catch (const Error& error) {
            if (error.code() != error_code::does_not_fit) throw;
            return *in_core_seconds_;
        }
    }

    void measure_budget(const Table& table, const device_budget& device_bytes) {
        attend_options fixed;
        fixed.workers = options_.workers;
        fixed.device_bytes = device_bytes;
        const std::string budget = budget_text(device_bytes);
        for (const plan_row& plan : plans_) {
            if (is_late()) break;
            nlohmann::json row{{"plan", plan.name}};
            if (fixed.device_bytes) row["budget_bytes"] = *fixed.device_bytes;
            try {
                measure_plan(row, plan, fixed);
                print(table, budget, row);
            } catch (const Error& error) {
                row["failure"] = error.what();
                fmt::print(out_, "{:>8}{:>17}  {}\n", budget, plan.name, error.what());
                std::fflush(out_);
            }
            report_["rows"].push_back(row);
            save(false);
        }
    }

    attend_report attend(Session& session, attend_options request) const {
        request.mask = options_.size.problem().mask;
        return session.attend(host_->q(), host_->k(), host_->v(), host_->out(), host_->lse(),
                              request);
    }

    /// The first request that fits.
    std::pair<attend_options, attend_report> first_call(const plan_row& plan,
                                                        Session& session) const {
        for (std::size_t i = 0;; ++i) {
            try {
                return {plan.requests[i], attend(session, plan.requests[i])};
            } catch (const Error& error) {
                const bool more = i + 1 < plan.requests.size();
                if (error.code() != error_code::does_not_fit || !more) throw;
            }
        }
    }

    void measure_plan(nlohmann::json& row, const plan_row& plan,
                      const attend_options& fixed) const {
        host_->spoil_outputs();
        const std::optional<std::int64_t> free_before = gpu_free_bytes();
        // A session of its own, so that no memory of another plan is in it.
        std::optional<Session> session;
        row["start_seconds"] = seconds_of([&] { session.emplace(fixed); });
        attend_options request;
        attend_report last;
        {
            FreeMemoryWatch watch;
            row["first_call_seconds"] =
                seconds_of([&] { std::tie(request, last) = first_call(plan, *session); });
            // Only here: asking the driver again and again would disturb what is timed.
            const std::optional<std::int64_t> least = watch.least();
            if (least && free_before) row["observed_device_bytes"] = *free_before - *least;
        }
        row["first_seconds"] = last.measured.seconds;
        if (!last.warning.empty()) fmt::print(out_, "{}\n", last.warning);
        std::vector<double> calls;
        std::vector<double> runs;
        std::vector<double> in_core;
        // Where a call takes so long that its set-up does not count, the first may do.
        if (in_core_seconds_) in_core.push_back(in_core_now());
        if (options_.rounds == 0) {
            calls.push_back(row["first_call_seconds"]);
            runs.push_back(last.measured.seconds);
        }
        for (int i = 0; i < options_.rounds; ++i) {
            pause();
            calls.push_back(seconds_of([&] { last = attend(*session, request); }));
            runs.push_back(last.measured.seconds);
            if (in_core_seconds_) in_core.push_back(in_core_now());
        }
        row.update(json_of(last.plan));
        row["predicted"] = json_of(last.plan.predicted);
        row["measured"] = json_of(last.measured);
        row["measured"]["seconds"] = median(runs);
        row["call_seconds"] = median(calls);
        row["each_call_seconds"] = calls;
        if (in_core_seconds_) {
            row["in_core_seconds"] = median(in_core);
            row["in_core_ratio"] = median(in_core) / median(calls);
        }
        if (options_.verify_rows > 0) row["verify"] = verified();
    }

    [[nodiscard]] nlohmann::json verified() const {
        const auto read = [](const mutable_tensor& x) -> tensor {
            return {x.data, x.type, x.shape, x.strides};
        };
        attend_options request;
        request.mask = options_.size.problem().mask;
        const verification result = verify(host_->q(), host_->k(), host_->v(), read(host_->out()),
                                           read(host_->lse()), request, options_.verify_rows);
        return {{"rows", result.rows},
                {"max_abs_error", result.max_abs_error},
                {"rel_error", result.rel_error},
                {"lse_max_abs_error", result.lse_max_abs_error}};
    }

    static void print(const Table& table, const std::string& budget, const nlohmann::json& row) {
        const nlohmann::json& measured = row["measured"];
        const nlohmann::json& predicted = row["predicted"];
        const auto whole = [](const nlohmann::json& x) {
            return std::to_string(x.get<std::int64_t>());
        };
        const auto mebibytes = [](const nlohmann::json& x) {
            return std::to_string((x.get<std::int64_t>() + (1 << 20) - 1) >> 20);
        };
        const auto gigabytes = [](const nlohmann::json& x) {
            return number(1e-9 * x.get<double>(), 2);
        };
        const auto seconds = [](const nlohmann::json& x) {
            return number(x.get<double>(), x.get<double>() < 10 ? 4 : 3);
        };
        const bool merged = row["flow"] == "merged";
        table.row(
            {budget, row["plan"], merged ? "merged" : row["order"].get<std::string>(),
             whole(row["chunks"]), whole(row["strip_tokens"]), whole(row["segment_tokens"]),
             whole(row["tasks"]), seconds(row["first_call_seconds"]), seconds(row["call_seconds"]),
             seconds(measured["seconds"]), seconds(predicted["seconds"]),
             row.contains("in_core_ratio") ? number(row["in_core_ratio"].get<double>(), 3) : "-",
             row.contains("observed_device_bytes") ? mebibytes(row["observed_device_bytes"]) : "-",
             mebibytes(measured["device_bytes"]), mebibytes(predicted["device_bytes"]),
             gigabytes(measured["h2d_bytes"]), gigabytes(predicted["h2d_bytes"]),
             gigabytes(measured["d2h_bytes"]),
             row.contains("verify")
                 ? fmt::format("{:.1e}", row["verify"]["rel_error"].get<double>())
                 : "-"});
    }

    offload_options options_;
    std::vector<device_budget> budgets_;
    std::vector<plan_row> plans_; ///< of each budget
    std::FILE* out_;
    nlohmann::json report_;
    std::chrono::steady_clock::time_point begin_;
    std::optional<HostArrays> host_;
    std::optional<PinnedArrays> pinned_;
    std::optional<double> in_core_seconds_;
};

} // namespace

void add_offload(CLI::App& app) {
    static const std::map<std::string, data_type> types{
        {"f32", data_type::f32}, {"bf16", data_type::bf16}, {"f16", data_type::f16}};
    static const std::map<std::string, worker_set> workers{
        {"cpu", worker_set::cpu}, {"cuda", worker_set::cuda}, {"all", worker_set::all}};
    const auto options = std::make_shared<offload_options>();
    CLI::App* offload = app.add_subcommand(
        "offload",
        "attention of data in host memory on a GPU, at one budget of device memory after another, "
        "beside the kernel with everything on the GPU");
    offload->add_option("--tokens", options->tokens, "Queries, and keys: 65536, 64Ki, 1M")
        ->capture_default_str();
    offload->add_option("--heads", options->size.heads, "Heads")->capture_default_str();
    offload->add_option("--dim", options->size.head_dim, "Head dimension")
        ->check(CLI::Range(1, 256))
        ->capture_default_str();
    offload->add_option("--type", options->size.type, "Element type: f32, bf16, f16")
        ->transform(CLI::CheckedTransformer(types))
        ->default_str("bf16");
    offload->add_flag("!--dense", options->size.causal, "Without the causal mask");
    offload
        ->add_option("--device-memory", options->budgets,
                     "Budgets of device memory: 96MiB,4GiB,all")
        ->delimiter(',')
        ->capture_default_str();
    offload->add_option("--workers", options->workers, "cpu, cuda or all")
        ->transform(CLI::CheckedTransformer(workers))
        ->default_str("cuda");
    offload->add_flag(
        "--compare", options->compare,
        "Beside the planner's choice: quorum-major, query-major, undivided, and whole "
        "quorums resident as in the paper");
    offload->add_option("--chunks", options->chunks, "Of the quorum- and query-major rows")
        ->capture_default_str();
    offload
        ->add_option("--cuts", options->cuts,
                     "Beside it too: the undivided schedule with such strips and segments: "
                     "6912x10368,5760x12672")
        ->delimiter(',');
    offload->add_flag("!--no-in-core", options->in_core, "Leave out the kernel alone");
    offload
        ->add_option("--rounds", options->rounds,
                     "Measurements of each plan, after a first call; 0: the first counts")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    offload->add_option("--verify", options->verify_rows,
                        "Check so many sampled rows of each plan's last result in float64");
    offload->add_option("--limit-seconds", options->limit_seconds,
                        "Begin no measurement after so many seconds");
    offload->add_flag("!--untouched", options->filled,
                      "Inputs stay zero and untouched, where sizes alone matter");
    offload->add_flag("--pinned", options->pinned,
                      "The caller keeps its arrays in page-locked memory");
    offload->add_option("--json", options->json,
                        "Write the report to FILE (after each row), or - for stdout");
    offload->callback([options] {
        options->size.tokens = tool::parse_count("--tokens", options->tokens, 1);
        Offload(*options).run();
    });
}

} // namespace cqsa::bench
