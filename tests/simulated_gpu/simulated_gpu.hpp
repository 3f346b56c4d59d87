// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

/// GPUs made of host memory, for tests of the graph where there is no GPU: a CUDA runtime library
/// of its own (cuda_runtime.cpp) that StarPU drives as it does the real one, and CUDA codelets
/// (codelets.cpp) that compute with the OpenMP kernels.
///
/// Work is done when it is enqueued, which any order of streams and events allows; what is
/// asynchronous is its end: each device has one compute engine and a copy engine each way, each
/// does one thing after another at the rates below, and an event is complete when the clock has
/// reached the end of what came before it.
namespace cqsa::simulated {

struct settings {
    int gpus = 1;
    std::int64_t memory_bytes = std::int64_t{80} << 30;
    std::int64_t context_bytes = std::int64_t{500} << 20;
    /// false: only the time of copies and kernels passes; nothing is copied or computed.
    bool computes = true;
    // Measured on an H100 (driver 580, PCIe 5).
    double attend_flops_per_second = 520e12;
    double tile_seconds = 3.2e-6; ///< what a tile of head_dim 64 takes beside its products
    double memory_bytes_per_second = 2.5e12;
    double launch_seconds = 5e-6;
    double bus_bytes_per_second = 55.5e9; ///< each way, pinned host memory
    double copy_seconds = 5e-6;           ///< fixed cost of a copy
    double pageable_bytes_per_second = 5e9;
    double register_bytes_per_second = 19e9; ///< cudaHostRegister, of memory in ordinary pages
    double register_seconds = 5e-5;          ///< fixed cost of it
    double allocate_bytes_per_second = 2e9;  ///< cudaHostAlloc
};

/// Of the process; read from CQSA_SIMULATED_GPU ("gpus=1,memory_bytes=8e9,computes=0,…") when it is
/// first asked for. Changed by tests before StarPU starts; programs that this one starts know only
/// the variable.
settings& current();

/// What another process takes of a device's memory, from now on.
void take_memory(int device, std::int64_t bytes);

/// Bytes that this process holds on the device besides the context, and the most it ever held.
std::int64_t used_bytes(int device);
std::int64_t peak_bytes(int device);
void reset_peaks();

/// Bytes copied to and from devices, and of these what was not page-locked.
struct copied {
    std::int64_t h2d_bytes = 0;
    std::int64_t d2h_bytes = 0;
    std::int64_t pageable_bytes = 0;
};
copied copied_bytes();

/// The compute engine of the stream's device is busy for so long after what the stream did before.
void enqueue_kernel(void* handle, double duration);

/// Busy seconds of a device's compute engine.
double busy_seconds(int device);

} // namespace cqsa::simulated
