// SPDX-License-Identifier: Apache-2.0
#include "runtime/calibrate.hpp"

#include "codelets/element.hpp"
#include "planner/cost_model.hpp"
#include "runtime/assumed_rates.hpp"
#include "runtime/host_memory.hpp"
#include "runtime/machine.hpp"
#include "runtime/starpu_context.hpp"
#include "runtime/stored_rates.hpp"

#include <starpu.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <sys/mman.h>

namespace cqsa {
namespace {

constexpr std::int64_t heads = 8;
// Of every kernel's blocks, so that no block of the timed attentions is short.
constexpr std::int64_t token_multiple = 768;
constexpr std::int64_t first_tokens = 4 * token_multiple;
// Of the attention that shows what a task costs beside its flops.
constexpr std::int64_t many_strips = 32;
constexpr int repetitions = 3;
// Shorter tasks are mostly the way to them and back.
constexpr double least_finalize_seconds = 1e-4;

problem problem_of(data_type type, std::int64_t head_dim, std::int64_t tokens,
                   std::int64_t head_count = heads) {
    return {.heads = head_count,
            .kv_heads = head_count,
            .tokens = tokens,
            .kv_tokens = tokens,
            .head_dim = head_dim,
            .type = type,
            .out_type = type,
            .mask = mask_rule::causal_top_left};
}

/// q, k and v with normal elements, and out. A GPU that computes zeros needs less power and is
/// faster. Page-locked where StarPU has GPUs: kernels that wait for copies would seem slow.
class RandomOperands {
  public:
    explicit RandomOperands(const problem& p)
        : shape_{p.batch, p.heads, p.tokens, p.head_dim}, type_(p.type) {
        const std::int64_t bytes = p.batch * p.heads * p.tokens * p.head_dim * bytes_of(p.type);
        for (auto& array : arrays_)
            array.resize(static_cast<std::size_t>(bytes));
        constexpr std::int64_t drawn = 65'521; // prime: rows differ
        std::vector<std::byte> pattern(static_cast<std::size_t>(drawn * bytes_of(p.type)));
        std::mt19937 random(1);
        std::normal_distribution<double> normal;
        for (std::int64_t i = 0; i < drawn; ++i)
            write_element(p.type, pattern.data(), i, normal(random));
        for (std::size_t i = 0; i < 3; ++i) {
            for (std::size_t at = 0; at < arrays_[i].size(); at += pattern.size()) {
                const std::size_t count = std::min(pattern.size(), arrays_[i].size() - at);
                std::memcpy(arrays_[i].data() + at, pattern.data(), count);
            }
        }
        for (auto& array : arrays_)
            starpu_memory_pin(array.data(), array.size());
    }

    ~RandomOperands() {
        for (auto& array : arrays_)
            starpu_memory_unpin(array.data(), array.size());
    }

    RandomOperands(const RandomOperands&) = delete;
    RandomOperands& operator=(const RandomOperands&) = delete;

    attend_report attend(const attend_options& options) {
        const std::int64_t token_stride = shape_[3];
        const std::array<std::int64_t, 4> strides{shape_[1] * shape_[2] * token_stride,
                                                  shape_[2] * token_stride, token_stride, 1};
        const auto input = [&](std::size_t i) {
            return tensor{arrays_[i].data(), type_, shape_, strides};
        };
        return cqsa::attend(input(0), input(1), input(2),
                            {arrays_[3].data(), type_, shape_, strides}, {}, options);
    }

  private:
    std::array<std::int64_t, 4> shape_;
    data_type type_;
    std::array<std::vector<std::byte>, 4> arrays_;
};

/// One kind of processor, in a StarPU that stays up between the attentions.
class Calibration {
  public:
    Calibration(const calibrate_options& options, worker_set kind)
        : options_(options), gpu_(kind == worker_set::cuda),
          context_({.workers = kind,
                    .cpu_threads = options.cpu_threads,
                    .device_bytes = options.device_bytes,
                    .trace_directory = {}}) {
        attend_.mask = mask_rule::causal_top_left;
        attend_.workers = kind;
        attend_.cpu_threads = options.cpu_threads;
        attend_.device_bytes = options.device_bytes;
        attend_.flow = state_flow::continued; // no merges: what is not attend is finalize
        attend_.stop_requested = options.stop_requested;
    }

    [[nodiscard]] std::string processor() const {
        if (!gpu_) return cpu_identity();
        return gpu_identity(list_gpus().front(), gpus());
    }

    [[nodiscard]] std::string unsupported(const problem& p) const {
        return gpu_ ? gpus_unsupported(context_, p) : std::string();
    }

    measured_rates measure(data_type type, std::int64_t head_dim) {
        measured_rates result;
        result.type = type;
        result.head_dim = head_dim;
        const attend_report large = run_of_about_seconds(type, head_dim);
        machine node = machine_of(context_, large.plan.problem, attend_, gpu_);
        rates& rates = gpu_ ? node.device_rates : node.cpu_rates;
        if (!gpu_) result.threads = cpu_workers() * context_.cpu_team_threads();
        // Not what an earlier calibration has stored.
        rates = gpu_ ? assumed_gpu_rates(large.plan.problem, list_gpus().front())
                     : assumed_cpu_rates(large.plan.problem, result.threads);
        if (gpu_) read_bus(rates);
        set_attend_rate(node, rates, large);
        set_merge_rate(rates, large);
        // Tasks on a GPU overlap: what passes between short ones says nothing of longer ones.
        if (!gpu_) {
            set_task_seconds(rates, type, head_dim);
            match(node, rates, large);
            rates.touch_bytes_per_second = touch_rate(result.threads);
        }
        result.rates = rates;
        return result;
    }

  private:
    [[nodiscard]] int cpu_workers() const {
        return static_cast<int>(context_.cpu_workers().size());
    }
    [[nodiscard]] int gpus() const { return static_cast<int>(context_.cuda_workers().size()); }

    /// The middle one of a few runs: the others may have been disturbed, or lucky.
    attend_report typical_run(const problem& p, const attend_options& options) {
        RandomOperands operands(p);
        std::vector<attend_report> reports;
        finalize_seconds_ = std::numeric_limits<double>::infinity();
        for (int i = 0; i < repetitions; ++i) {
            reports.push_back(operands.attend(options));
            double seconds = 0;
            for (const auto& worker : reports.back().workers)
                seconds += worker.busy_seconds - worker.attend_seconds;
            finalize_seconds_ = std::min(finalize_seconds_, seconds);
        }
        std::ranges::sort(reports, {},
                          [](const attend_report& report) { return report.measured.seconds; });
        return reports[repetitions / 2];
    }

    attend_report run_of_about_seconds(data_type type, std::int64_t head_dim) {
        const std::int64_t token_bytes = 4 * heads * head_dim * bytes_of(type);
        const std::int64_t most_tokens =
            std::max(first_tokens, read_host_memory().available_bytes / 4 / token_bytes /
                                       token_multiple * token_multiple);
        std::int64_t tokens = first_tokens;
        while (true) {
            const problem p = problem_of(type, head_dim, tokens);
            const double seconds = RandomOperands(p).attend(attend_).measured.seconds;
            if (seconds >= options_.seconds / 2 || tokens == most_tokens) {
                return typical_run(p, attend_);
            }
            const double growth = std::clamp(std::sqrt(options_.seconds / seconds), 1.2, 8.0);
            const auto wanted = static_cast<std::int64_t>(static_cast<double>(tokens) * growth);
            tokens = std::min((wanted / token_multiple + 1) * token_multiple, most_tokens);
        }
    }

    void set_attend_rate(const machine& node, rates& rates, const attend_report& report) const {
        double flops = 0;
        double seconds = 0;
        for (const auto& worker : report.workers) {
            flops += worker.attend_flops;
            seconds += worker.attend_seconds;
        }
        // Rates are of one GPU with all its multiprocessors at work, and of all cores together.
        if (gpu_) {
            seconds -= tile_seconds(report.plan, node, measure_workload(report.plan));
            seconds *= tile_efficiency(report.plan, node);
        } else {
            seconds /= cpu_workers();
        }
        rates.attend_flops_per_second = flops / seconds;
    }

    void set_merge_rate(rates& rates, const attend_report& report) const {
        const problem& p = report.plan.problem;
        const std::int64_t row_bytes =
            (p.head_dim + 2) * bytes_of(state_type(p.type)) + p.head_dim * bytes_of(p.out_type);
        const auto tasks = static_cast<double>(report.plan.queries.blocks());
        if (finalize_seconds_ < tasks * least_finalize_seconds) return;
        rates.merge_bytes_per_second = static_cast<double>(p.heads * p.tokens * row_bytes) /
                                       finalize_seconds_ * (gpu_ ? 1 : cpu_workers());
    }

    void set_task_seconds(rates& rates, data_type type, std::int64_t head_dim) {
        attend_options options = attend_;
        const std::int64_t tokens = many_strips * token_multiple / 2;
        options.chunks = 1;
        options.strip_tokens = options.segment_tokens = options.block_tokens = token_multiple / 2;
        const attend_report small = typical_run(problem_of(type, head_dim, tokens, 1), options);
        const auto tasks = static_cast<double>(small.plan.tasks + small.plan.queries.blocks());
        // Small tasks are also slower within.
        const double between = small.measured.seconds - busy_seconds(small);
        const double beside_flops =
            small.measured.seconds - small.measured.flops / rates.attend_flops_per_second;
        rates.task_seconds = std::max(1e-6, std::max(between, beside_flops) / tasks);
    }

    static double busy_seconds(const attend_report& report) {
        double seconds = 0;
        for (const auto& worker : report.workers)
            seconds += worker.busy_seconds;
        return seconds;
    }

    /// Lowers the rate so that the prediction of a run on the CPU is what was measured: also what
    /// lies between tasks takes its time.
    static void match(const machine& node, rates& rates, const attend_report& report) {
        rates.touch_bytes_per_second = 0; // all that it needed had been used by the runs before
        const double predicted = predict(report.plan, node, measure_workload(report.plan)).seconds;
        const double attend = report.measured.flops / rates.attend_flops_per_second;
        const double seconds = report.measured.seconds - (predicted - attend);
        if (seconds > attend) rates.attend_flops_per_second = report.measured.flops / seconds;
    }

    /// bytes/s of memory that was never used before, by so many threads.
    static double touch_rate(int threads) {
        constexpr std::int64_t pages = std::int64_t{1} << 14;
        constexpr std::int64_t page_bytes = 4096;
        constexpr std::size_t bytes = pages * page_bytes;
        void* fresh =
            mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (fresh == MAP_FAILED) return 0;
        auto* const begin = static_cast<volatile char*>(fresh);
        const auto start = std::chrono::steady_clock::now();
#pragma omp parallel for num_threads(threads)
        for (std::int64_t page = 0; page < pages; ++page)
            begin[page * page_bytes] = 1;
        const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
        munmap(fresh, bytes);
        return static_cast<double>(bytes) / spent.count();
    }

    void read_bus(rates& rates) const {
        const unsigned device = starpu_worker_get_memory_node(context_.cuda_workers().front());
        // StarPU's own measurement, in MB/s.
        const double to = 1e6 * starpu_transfer_bandwidth(STARPU_MAIN_RAM, device);
        const double from = 1e6 * starpu_transfer_bandwidth(device, STARPU_MAIN_RAM);
        if (std::isfinite(to) && to > 0) rates.h2d_bytes_per_second = to;
        if (std::isfinite(from) && from > 0) rates.d2h_bytes_per_second = from;
    }

    const calibrate_options& options_;
    const bool gpu_;
    StarpuContext context_;
    attend_options attend_;
    double finalize_seconds_ = 0; ///< of the least disturbed of the latest runs
};

void check(const calibrate_options& options) {
    const auto require = [](bool truth, const std::string& sentence) {
        if (!truth) throw Error(error_code::usage, sentence);
    };
    require(!options.types.empty(), "types: expected at least one, but none came");
    require(!options.head_dims.empty(), "head_dims: expected at least one, but none came");
    for (const std::int64_t dim : options.head_dims) {
        require(dim >= 1 && dim <= 256,
                "head_dims: expected 1 to 256, but " + std::to_string(dim) + " came");
    }
    require(options.seconds >= 0.01 && options.seconds <= 60,
            "seconds: expected 0.01 to 60, but " + std::to_string(options.seconds) + " came");
}

processor_calibration calibrate_kind(const calibrate_options& options, worker_set kind) {
    Calibration calibration(options, kind);
    processor_calibration result;
    result.processor = calibration.processor();
    for (const data_type type : options.types) {
        for (const std::int64_t dim : options.head_dims) {
            const std::string why = calibration.unsupported(problem_of(type, dim, 1));
            if (!why.empty() && options.workers == worker_set::cuda) {
                throw Error(error_code::device, why);
            }
            if (!why.empty()) continue;
            if (options.on_step) {
                options.on_step(std::string(name_of(type)) + ", head_dim " + std::to_string(dim) +
                                " on " + result.processor);
            }
            result.rates.push_back(calibration.measure(type, dim));
        }
    }
    if (options.store && !result.rates.empty()) {
        result.path = store_rates(result.processor, result.rates);
    }
    return result;
}

} // namespace

std::vector<processor_calibration> calibrate(const calibrate_options& options) {
    check(options);
    std::vector<processor_calibration> all;
    if (options.workers != worker_set::cuda) {
        all.push_back(calibrate_kind(options, worker_set::cpu));
    }
    if (options.workers == worker_set::cuda ||
        (options.workers == worker_set::all && !list_gpus().empty())) {
        all.push_back(calibrate_kind(options, worker_set::cuda));
    }
    return all;
}

} // namespace cqsa
