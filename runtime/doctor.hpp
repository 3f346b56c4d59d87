// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace cqsa {

/// What the machine and this build offer, for people who ask why a run is slow or does not start.
struct machine_report {
    struct gpu {
        std::string name;               ///< "NVIDIA H100 80GB HBM3"
        std::string compute_capability; ///< "9.0"
        std::int64_t memory_bytes = 0;
        std::int64_t free_memory_bytes = 0;
        std::string unsupported; ///< empty, or one sentence: why no kernel of this build runs on it
    };
    struct setting {
        std::string name; ///< an environment variable
        std::string value;
    };

    struct stored {
        std::string processor;             ///< as in runtime/calibrate.hpp
        std::vector<std::string> measured; ///< "bf16 64": type and head_dim; empty: assumed rates
        std::string path;                  ///< of the file
        std::string damage;                ///< empty, or one sentence: why the file is ignored
    };

    std::string cpu;                    ///< "Intel(R) Xeon(R) Platinum 8480+"
    int cores = 0;                      ///< physical cores that this process may use
    std::vector<std::string> cpu_paths; ///< kernels that run here, the fastest first: "amx-bf16",
                                        ///< "avx512-bf16", "avx512", "avx2", "portable"
    std::int64_t memory_bytes = 0;
    std::int64_t free_memory_bytes = 0; ///< within the limits of the process's control group
    std::vector<gpu> gpus;
    std::vector<stored> rates;        ///< what plans expect of the CPU, then of the GPUs
    std::string cuda_version;         ///< "13.0"; empty: built without CUDA
    std::string starpu_version;       ///< "1.4.10"
    bool fxt = false;                 ///< StarPU can record traces (--trace)
    std::vector<setting> environment; ///< what is set of the variables that change a run
                                      ///< (STARPU_*, OMP_*, CUDA_VISIBLE_DEVICES)
    std::vector<std::string> advice;  ///< one sentence each: what is missing and how to get it
};

/// Looks; starts no runtime and changes nothing. A part that cannot be found out stays empty.
machine_report describe_machine();

} // namespace cqsa
