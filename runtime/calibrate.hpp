// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/machine.hpp"
#include "runtime/attend.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace cqsa {

/// What a processor achieves with one type and head_dim.
struct measured_rates {
    data_type type = data_type::f32;
    std::int64_t head_dim = 0;
    int threads = 0; ///< of a CPU's team; 0: a GPU
    cqsa::rates rates;
};

/// The rates of one kind of processor. GPUs count with their number, because they share the bus.
struct processor_calibration {
    std::string processor; ///< "AMD EPYC 9654 avx512bf16", "1 x NVIDIA H100 80GB HBM3"
    std::vector<measured_rates> rates;
    std::string path; ///< of the file that holds them; empty: not stored
};

struct calibrate_options {
    std::vector<data_type> types{data_type::bf16};
    std::vector<std::int64_t> head_dims{64, 128};
    /// all: the CPU and the GPUs, if there are any, each alone.
    worker_set workers = worker_set::all;
    int cpu_threads = 0; ///< 0: every core that is free
    std::optional<std::int64_t> device_bytes{};
    double seconds = 1; ///< about what each of the timed attentions takes, 0.01 … 60
    bool store = true;
    /// Told what is measured next: "bf16, head_dim 64 on the CPU".
    std::function<void(const std::string&)> on_step{};
    /// Polled about ten times a second; when it returns true, calibrate throws Error(stopped).
    std::function<bool()> stop_requested{};
};

/// Measures attention on random data, a few times for each type, head_dim and processor, and
/// stores the rates for the plans that this user makes on this machine from then on
/// (`$XDG_CACHE_HOME/cqsa/rates`, else `~/.cache/cqsa/rates`, a file for each processor). Types and
/// head dimensions measured before stay; those not measured are planned with the nearest head_dim
/// of their type, or with assumed rates. Other programs that compute meanwhile spoil the result.
/// What a task, a tile and a change of strips cost on a GPU stays assumed.
/// GPUs without a kernel for a type are left out, unless the GPUs alone were asked for.
/// Throws Error: usage (an option makes no sense), device, does_not_fit, stopped, failure (the file
/// cannot be written).
std::vector<processor_calibration> calibrate(const calibrate_options& options = {});

} // namespace cqsa
