// SPDX-License-Identifier: Apache-2.0
#include "bench/gemm_rate.hpp"

#include "bench/cases.hpp"
#include "bench/timing.hpp"
#include "codelets/half.hpp"

#include <memory>
#include <vector>

#if defined(CQSA_WITH_LIBXSMM)
#include <libxsmm.h>
#endif

namespace cqsa::bench {

#if defined(CQSA_WITH_LIBXSMM)
namespace {

constexpr std::int64_t query_rows = 64;
constexpr std::int64_t keys = 256;
constexpr std::int64_t tiles_a_thread = 64;

/// The library's kernel for C = A·B + beta·C in its column-major order.
auto kernel_of(auto* dispatch, std::int64_t m, std::int64_t n, std::int64_t k, float beta,
               int flags) {
    const auto lda = static_cast<libxsmm_blasint>(m);
    const auto ldb = static_cast<libxsmm_blasint>(k);
    const float alpha = 1;
    return dispatch(lda, static_cast<libxsmm_blasint>(n), ldb, &lda, &ldb, &lda, &alpha, &beta,
                    &flags, nullptr);
}

struct single {
    using element = float;
    static auto make(std::int64_t m, std::int64_t n, std::int64_t k, float beta) {
        return kernel_of(libxsmm_smmdispatch, m, n, k, beta, LIBXSMM_GEMM_FLAG_NONE);
    }
};
struct pairs {
    using element = libxsmm_bfloat16;
    static auto make(std::int64_t m, std::int64_t n, std::int64_t k, float beta) {
        return kernel_of(libxsmm_bsmmdispatch, m, n, k, beta, LIBXSMM_GEMM_FLAG_VNNI_A);
    }
};

template<class Kind>
std::function<double()> rate_of(std::int64_t kv_tokens, std::int64_t d, int threads) {
    using element = typename Kind::element;
    const auto scores = Kind::make(keys, query_rows, d, 0); // Sᵀ = K·Qᵀ
    const auto values = Kind::make(d, query_rows, keys, 1); // Oᵀ += Vᵀ·Pᵀ
    if (scores == nullptr || values == nullptr) {
        return {};
    }
    const std::int64_t steps = kv_tokens / keys;
    const auto count = static_cast<std::size_t>(steps * keys * d);
    const auto k = std::make_shared<Buffer>(count * sizeof(element));
    const auto v = std::make_shared<Buffer>(count * sizeof(element));
    const auto run = [=] {
#pragma omp parallel num_threads(threads)
        {
            std::vector<element> q(query_rows * d);
            std::vector<element> p(query_rows * keys);
            std::vector<float> s(query_rows * keys);
            std::vector<float> o(query_rows * d);
            for (std::int64_t t = 0; t < tiles_a_thread; ++t) {
                for (std::int64_t i = 0; i < steps; ++i) {
                    scores(reinterpret_cast<const element*>(k->data()) + i * keys * d, q.data(),
                           s.data());
                    values(reinterpret_cast<const element*>(v->data()) + i * keys * d, p.data(),
                           o.data());
                }
            }
        }
    };
    return [=] {
        run();
        return 4.0 * query_rows * static_cast<double>(steps * keys * d * tiles_a_thread * threads) /
               seconds_of(run);
    };
}

} // namespace

std::function<double()> gemm_library(data_type type, std::int64_t kv_tokens, std::int64_t head_dim,
                                     int threads) {
    libxsmm_init();
    if (type == data_type::f32) {
        return rate_of<single>(kv_tokens, head_dim, threads);
    }
    // Below this target the library emulates bf16.
    if (type == data_type::bf16 && libxsmm_get_target_archid() >= LIBXSMM_X86_AVX512_CPX) {
        return rate_of<pairs>(kv_tokens, head_dim, threads);
    }
    return {};
}

#else

std::function<double()> gemm_library(data_type /*type*/, std::int64_t /*kv_tokens*/,
                                     std::int64_t /*head_dim*/, int /*threads*/) {
    return {};
}

#endif

} // namespace cqsa::bench
