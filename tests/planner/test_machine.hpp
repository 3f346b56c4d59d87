// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/machine.hpp"
#include "planner/problem.hpp"

#include <cstdint>

namespace cqsa::test {

/// One GPU whose memory has no pages, with rates that make round numbers.
inline machine one_gpu(std::int64_t device_bytes) {
    machine machine;
    machine.devices = 1;
    machine.device_bytes = device_bytes;
    machine.device_page_bytes = 1;
    machine.device_rates.attend_flops_per_second = 1e6;
    machine.device_rates.merge_bytes_per_second = 1e6;
    machine.device_rates.h2d_bytes_per_second = 1e4;
    machine.device_rates.d2h_bytes_per_second = 2e4;
    return machine;
}

constexpr std::int64_t mebibyte = std::int64_t{1} << 20;

/// Eight heads of 64 in bf16.
inline problem causal(std::int64_t tokens) {
    problem problem{.heads = 8, .kv_heads = 8, .tokens = tokens, .kv_tokens = tokens};
    problem.head_dim = 64;
    problem.type = problem.out_type = data_type::bf16;
    problem.mask = mask_rule::causal_top_left;
    return problem;
}

/// About a two-core CPU.
inline machine small_cpu() {
    machine machine;
    machine.cpu = true;
    machine.cpu_rates = {
        .attend_flops_per_second = 5e11, .merge_bytes_per_second = 1e10, .task_seconds = 5e-5};
    return machine;
}

/// About an H100 behind PCIe 5.
inline machine h100(std::int64_t device_bytes, int devices = 1) {
    machine machine;
    machine.devices = devices;
    machine.device_bytes = device_bytes;
    machine.device_rates.attend_flops_per_second = 5e14;
    machine.device_rates.merge_bytes_per_second = 2e12;
    machine.device_rates.task_seconds = 5e-6;
    machine.device_rates.h2d_bytes_per_second = 5.4e10;
    machine.device_rates.d2h_bytes_per_second = 5.4e10;
    machine.tiles_at_once = 132;
    return machine;
}

} // namespace cqsa::test
