// SPDX-License-Identifier: Apache-2.0
// cqsa_sweep TOKENS HEAD_DIM CAUSAL BUDGET_MIB…: whole attentions on a simulated GPU where only
// time passes: seconds, memory and bytes beside those that the planner predicts.
#include "runtime/session.hpp"
#include "tests/simulated_gpu/simulated_gpu.hpp"

#include <array>
#include <cstdio>
#include <cstdlib>

#include <sys/mman.h>

namespace {

void* untouched(std::int64_t bytes) {
    return mmap(nullptr, static_cast<std::size_t>(bytes), PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

double gibi(std::int64_t bytes) {
    return static_cast<double>(bytes) / (1 << 30);
}

} // namespace

int main(int argc, char** argv) {
    using namespace cqsa;
    if (argc < 5) return 2;
    const std::int64_t tokens = std::atoll(argv[1]);
    const std::int64_t dim = std::atoll(argv[2]);
    const bool causal = std::atoi(argv[3]) != 0;
    simulated::current().computes = false;
    const std::int64_t heads = 8;
    const std::array<std::int64_t, 4> shape{1, heads, tokens, dim};
    const std::array<std::int64_t, 4> rows{1, heads, tokens, 1};
    const auto strides = bhnd_strides(shape);
    const std::int64_t bytes = heads * tokens * dim * 2;
    const tensor q{untouched(bytes), data_type::bf16, shape, strides};
    const tensor k{untouched(bytes), data_type::bf16, shape, strides};
    const tensor v{untouched(bytes), data_type::bf16, shape, strides};
    const mutable_tensor out{untouched(bytes), data_type::bf16, shape, strides};
    const mutable_tensor lse{untouched(heads * tokens * 4), data_type::f32, rows,
                             bhnd_strides(rows)};
    const auto setting = [](const char* name) -> std::optional<std::int64_t> {
        const char* text = std::getenv(name);
        return text != nullptr ? std::optional(std::atoll(text)) : std::nullopt;
    };
    for (int i = 4; i < argc; ++i) {
        attend_options options;
        options.mask = causal ? mask_rule::causal_top_left : mask_rule::none;
        options.workers = worker_set::cuda;
        options.device_bytes = std::atoll(argv[i]) << 20;
        options.chunks = setting("CHUNKS");
        options.strip_tokens = setting("STRIP");
        options.segment_tokens = setting("SEGMENT");
        options.block_tokens = setting("BLOCK");
        if (const auto order = setting("ORDER")) options.order = static_cast<task_order>(*order);
        if (const auto flow = setting("FLOW")) options.flow = static_cast<state_flow>(*flow);
        try {
            Session session(options);
            simulated::reset_peaks();
            const double busy = simulated::busy_seconds(0);
            const auto moved = simulated::copied_bytes();
            const attend_report report = session.attend(q, k, v, out, lse, options);
            const plan& p = report.plan;
            const double kernel = simulated::busy_seconds(0) - busy;
            std::printf(
                "%7s MiB c=%-4ld %s %s strip %6ld segment %6ld blocks %5ld/%5ld x%ld tasks %6ld | "
                "%.3f s, predicted %.3f, kernels %.3f (%.3f) | MiB %ld reported %ld "
                "predicted %ld | H2D GB %.2f predicted %.2f | D2H %.2f %.2f\n",
                argv[i], p.chunks, p.order == task_order::quorum_major ? "quorum" : "query ",
                p.flow == state_flow::merged ? "merged" : "cont  ",
                p.strip_blocks * p.queries.block_tokens, p.segment_blocks * p.keys.block_tokens,
                p.queries.block_tokens, p.keys.block_tokens, p.interleave, p.tasks,
                report.measured.seconds, p.predicted.seconds, kernel,
                kernel / report.measured.seconds, simulated::peak_bytes(0) >> 20,
                report.measured.device_bytes >> 20, p.predicted.device_bytes >> 20,
                static_cast<double>(simulated::copied_bytes().h2d_bytes - moved.h2d_bytes) / 1e9,
                static_cast<double>(p.predicted.h2d_bytes) / 1e9,
                static_cast<double>(simulated::copied_bytes().d2h_bytes - moved.d2h_bytes) / 1e9,
                static_cast<double>(p.predicted.d2h_bytes) / 1e9);
        } catch (const Error& error) {
            std::printf("%7s MiB %s\n", argv[i], error.what());
        }
        std::fflush(stdout);
    }
    static_cast<void>(gibi);
}
