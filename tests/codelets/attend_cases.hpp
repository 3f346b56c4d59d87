// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/attend/openmp.hpp"
#include "tests/codelets/emulated_tiles.hpp"
#include "tests/support/blocked_attention.hpp"
#include "tests/support/error_norm.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace cqsa::test {

/// A kernel under test and its name.
struct named_kernel {
    std::string name;
    const cpu::attend_kernel* kernel;
};

/// Every kernel for the type that this machine runs, the tile kernel on emulated tiles too.
inline std::vector<named_kernel> kernels_of(data_type type) {
    std::vector<named_kernel> kernels;
    for (const cpu_isa isa :
         {cpu_isa::portable, cpu_isa::avx2, cpu_isa::avx512, cpu_isa::avx512bf16, cpu_isa::amx}) {
        if (isa > best_isa()) {
            break;
        }
        const cpu::attend_kernel& kernel = openmp::attend_kernel_of(isa, type);
        if (kernels.empty() || kernels.back().kernel != &kernel) {
            kernels.push_back({std::string(name_of(isa)), &kernel});
        }
    }
    if (type == data_type::bf16 && best_isa() >= cpu_isa::avx512bf16) {
        kernels.push_back({"emulated tiles", &emulated_tiles_attend()});
    }
    return kernels;
}

inline problem make_problem(data_type type, mask_rule mask, std::int64_t tokens,
                            std::int64_t kv_tokens, std::int64_t head_dim) {
    problem p;
    p.type = type;
    p.mask = mask;
    p.tokens = tokens;
    p.kv_tokens = kv_tokens;
    p.head_dim = head_dim;
    return p;
}

/// Queries, keys and values of a problem with unit variance.
struct attention_inputs {
    attention_inputs(const problem& of, layout order = layout::bhnd, std::uint64_t seed = 1)
        : p(of), scale(1 / std::sqrt(static_cast<double>(of.head_dim))),
          q(Tensor::random(p.type, p.batch, p.heads, p.tokens, p.head_dim, seed, order)),
          k(Tensor::random(p.type, p.batch, p.kv_heads, p.kv_tokens, p.head_dim, seed + 1, order)),
          v(Tensor::random(p.type, p.batch, p.kv_heads, p.kv_tokens, p.head_dim, seed + 2, order)) {
    }
    [[nodiscard]] attention_values oracle() const { return attention_oracle(p, scale, q, k, v); }

    problem p;
    double scale;
    Tensor q, k, v;
};

/// Memory for attend: 64-byte aligned and full of NaN.
class Workspace {
  public:
    explicit Workspace(std::size_t bytes) : memory_(bytes + 64, std::byte{0xff}), bytes_(bytes) {}
    std::span<std::byte> span() {
        const auto misaligned = reinterpret_cast<std::uintptr_t>(memory_.data()) % 64;
        return {memory_.data() + (64 - misaligned) % 64, bytes_};
    }

  private:
    std::vector<std::byte> memory_;
    std::size_t bytes_;
};

/// openmp::attend with a workspace of exactly the bytes it asks for.
inline void run(const attend_task& task, const named_kernel& kernel, int threads = 2) {
    Workspace workspace(openmp::attend_workspace_bytes(task, threads, *kernel.kernel));
    openmp::attend(task, workspace.span(), threads, *kernel.kernel);
}

/// What a kernel may lose. The project promises, with unit variance and after the output is rounded
/// to the input's type: O 1e-6 (f32), 4e-4 (f16), 3e-3 (bf16) norm-wise, lse 2e-6 (f32) and 1e-5
/// (16 bit) times max(1, |lse|). Rounding the output costs up to 2^-12 (f16), 2^-9 (bf16) of this;
/// f16 is computed in binary32 but for the weights' 3e-6, and bf16 rounds the weights, too, to
/// 2^-9.
struct tolerance {
    explicit tolerance(data_type type)
        : o(type == data_type::f64   ? 4e-15
            : type == data_type::f32 ? 1e-6
            : type == data_type::f16 ? 1e-5
                                     : 2.2e-3),
          lse(type == data_type::f64   ? 4e-15
              : type == data_type::f32 ? 2e-6
                                       : 1e-5) {}
    double o, lse;
};

/// Empty when the state is the oracle's, otherwise what differs.
inline std::string difference(const attention_values& x, const attention_values& expected,
                              const tolerance& limit) {
    const auto report = [](const char* name, double error, double allowed) {
        return error <= allowed ? std::string()
                                : std::string(name) + " off by " + std::to_string(error / allowed) +
                                      " times the tolerance; ";
    };
    return report("o", relative_error(x.o, expected.o), limit.o) +
           report("acc", relative_error(x.acc, expected.acc, expected.magnitude), limit.o) +
           report("lse", max_scaled_error(x.lse, expected.lse), limit.lse) +
           report("m", max_scaled_error(x.m, expected.m), limit.lse) +
           report("l", relative_error(x.l, expected.l), limit.lse);
}

} // namespace cqsa::test
