// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/error.hpp"
#include "planner/plan.hpp"

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace cqsa {

/// A tensor [batch, heads, tokens, head_dim] in the caller's host memory. Strides count elements;
/// head_dim is contiguous (strides[3] == 1), the other strides are free but not negative, so both
/// bhnd and bnhd arrays and slices of packed ones are viewed without a copy.
struct tensor {
    const void* data = nullptr;
    data_type type = data_type::f32;
    std::array<std::int64_t, 4> shape{};
    std::array<std::int64_t, 4> strides{};
};

/// The same, to be written. No two elements may share memory.
struct mutable_tensor {
    void* data = nullptr;
    data_type type = data_type::f32;
    std::array<std::int64_t, 4> shape{};
    std::array<std::int64_t, 4> strides{};
};

/// Strides of a packed array whose axes lie in memory in the order batch, heads, tokens, head_dim.
std::array<std::int64_t, 4> bhnd_strides(const std::array<std::int64_t, 4>& shape);
/// The same for the order batch, tokens, heads, head_dim.
std::array<std::int64_t, 4> bnhd_strides(const std::array<std::int64_t, 4>& shape);

/// Which processors may take tasks.
enum class worker_set : std::uint8_t { cpu, cuda, all };

struct progress {
    double flops_done = 0;
    double flops_total = 0;
    std::int64_t tasks_done = 0;
    std::int64_t tasks_total = 0;
    double seconds = 0; ///< since the first task was submitted
};

struct attend_options {
    mask_rule mask = mask_rule::none;
    std::optional<double> scale{}; ///< default 1/√head_dim

    // What the run may use. Unset: what the machine has free (STARPU_LIMIT_* are honoured).
    std::optional<std::int64_t> device_bytes{}; ///< per GPU, everything but the CUDA context
    std::optional<std::int64_t> host_bytes{};   ///< beside the caller's arrays
    worker_set workers = worker_set::all;
    int cpu_threads = 0; ///< of the CPU worker's team; 0: every core that is free

    // The plan. Unset: the planner chooses.
    std::optional<std::int64_t> chunks{};
    std::optional<int> depth{};
    std::optional<task_order> order{};
    std::optional<state_flow> flow{};
    std::optional<std::int64_t> block_tokens{};
    std::optional<std::int64_t> strip_tokens{};
    std::optional<std::int64_t> segment_tokens{};

    /// A run in which no task has ended for so long has stalled: attend throws Error(device), and
    /// StarPU is left running for ever. Default: two minutes, or 100 tasks of the predicted length.
    std::optional<double> stall_seconds{};

    std::string trace_directory{}; ///< not empty: record a StarPU FxT trace there
    /// Called from one thread about ten times a second and once at the end.
    std::function<void(const progress&)> on_progress{};
    /// Polled about ten times a second; when it returns true, tasks not yet started are dropped and
    /// attend throws Error(stopped).
    std::function<bool()> stop_requested{};
};

struct attend_report {
    cqsa::plan plan;
    cost measured;
    std::int64_t context_bytes = 0; ///< CUDA context of the fullest device, beside device_bytes
    struct worker {
        std::string name; ///< "CPU (16 threads)", "CUDA 0 (NVIDIA H100 80GB HBM3)"
        std::int64_t tasks = 0;
        double busy_seconds = 0;   ///< with tasks; on a GPU from when one could start to its end
        double attend_seconds = 0; ///< of them, with attend tasks …
        double attend_flops = 0;   ///< … of so many flops
    };
    std::vector<worker> workers;
    std::string
        warning; ///< empty, or one sentence: what went wrong but did not keep it from ending
};

/// Exact attention O = softmax(scale · QKᵀ + mask) · V as a graph of StarPU tasks.
///   q [B, H, N, D], k and v [B, Hkv, Nk, D] of one type, H a multiple of Hkv, 1 ≤ D ≤ 256;
///   out [B, H, N, D] in q's type or f32 (f64 for f64 inputs);
///   lse [B, H, N, 1] in f32 (f64 for f64 inputs), natural log; data == nullptr: not wanted.
/// Blocks until the outputs are complete. Inputs are only read and must not change meanwhile.
/// If StarPU already runs it is used as it is and left running; otherwise it is started for the
/// call, with the environment's STARPU_* variables honoured.
/// Throws Error: bad_input (an operand is not as above), usage (an option makes no sense),
/// does_not_fit (with the number of bytes missing), device, stopped, failure (the trace's folder
/// cannot be made).
attend_report attend(const tensor& q, const tensor& k, const tensor& v, const mutable_tensor& out,
                     const mutable_tensor& lse, const attend_options& options = {});

/// The plan that attend would follow, without running anything. Needs no data.
plan plan_attention(const problem& problem, const attend_options& options = {});

struct verification {
    std::int64_t rows = 0;
    double max_abs_error = 0;
    double rel_error = 0; ///< ‖out − exact‖ / ‖exact‖ over the rows
    double lse_max_abs_error = 0;
};

/// Recomputes `rows` sampled rows (batch, head, token; the same ones for the same seed) in float64
/// from the inputs and compares. NaN where exact is not NaN, and the reverse, count as infinite.
verification verify(const tensor& q, const tensor& k, const tensor& v, const tensor& out,
                    const tensor& lse, const attend_options& options, std::int64_t rows,
                    std::uint64_t seed = 0);

} // namespace cqsa
