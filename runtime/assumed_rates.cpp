// SPDX-License-Identifier: Apache-2.0
#include "runtime/assumed_rates.hpp"

#include "codelets/cpu/isa.hpp"

#include <array>

namespace cqsa {
namespace {

// flop/s of one core, by data type (f16, bf16, f32, f64) and instruction set, as `cqsa_bench cpu`
// measures them at head_dim 64 and 128.
constexpr std::array<std::array<double, 4>, 5> core_flops_per_second = {{
    {6e9, 6e9, 8e9, 4e9},         // portable
    {60e9, 60e9, 60e9, 30e9},     // avx2
    {180e9, 180e9, 200e9, 100e9}, // avx512
    {180e9, 440e9, 220e9, 110e9}, // avx512bf16
    {75e9, 280e9, 80e9, 40e9},    // amx; the cores of that machine are hardware threads
}};

constexpr double core_bytes_per_second = 6e9;

} // namespace

rates assumed_cpu_rates(const problem& problem, int threads) {
    const auto& row = core_flops_per_second[static_cast<std::size_t>(selected_isa())];
    rates result;
    result.attend_flops_per_second = threads * row[static_cast<std::size_t>(problem.type)];
    result.merge_bytes_per_second = threads * core_bytes_per_second;
    result.task_seconds = 20e-6;
    result.touch_bytes_per_second = threads * 1e9;
    return result;
}

rates assumed_gpu_rates(const problem& problem, const gpu_facts& gpu) {
    const gpu_facts reference = reference_gpu();
    const double size =
        gpu.multiprocessors * gpu.clock_hertz / (reference.multiprocessors * reference.clock_hertz);
    const bool sixteen_bit = bytes_of(problem.type) == 2;
    const double hopper = problem.head_dim <= 64 ? 505e12 : 675e12;
    // Before Hopper the 16-bit kernel uses mma.sync.
    const double flops = !sixteen_bit ? 60e12 : gpu.major == 9 ? hopper : hopper / 2;
    rates result;
    result.attend_flops_per_second = size * flops;
    result.merge_bytes_per_second = 2.4e12;
    result.task_seconds = 5e-6;
    if (sixteen_bit && gpu.major == 9) {
        // Tiles end with reading and writing their state: work that grows with head_dim.
        result.tile_seconds = 4e-6 * static_cast<double>(problem.head_dim) / 64;
        result.boost = 0.135;
        result.boost_seconds = 0.12;
    }
    result.h2d_bytes_per_second = 53e9;
    result.d2h_bytes_per_second = 53e9;
    result.load_seconds = 1.2e-5;
    result.host_seconds = 5.5e-5;
    result.strip_seconds = 3e-4;
    result.shortest_task_seconds = 1.5e-4;
    return result;
}

gpu_facts reference_gpu() {
    gpu_facts gpu;
    gpu.name = "NVIDIA H100 80GB HBM3";
    gpu.major = 9;
    gpu.minor = 0;
    gpu.multiprocessors = 132;
    gpu.clock_hertz = 1.98e9;
    gpu.total_bytes = std::int64_t{79} << 30;
    gpu.free_bytes = gpu.total_bytes;
    return gpu;
}

} // namespace cqsa
