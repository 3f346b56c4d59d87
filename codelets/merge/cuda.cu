// SPDX-License-Identifier: Apache-2.0
#include "codelets/cuda/check.hpp"
#include "codelets/cuda/rows.cuh"
#include "codelets/merge/merge.hpp"

#include <cuda_runtime.h>

#include <algorithm>

namespace cqsa::cuda {
namespace {

template<class State>
struct rows_of {
    State* acc;
    State* m;
    State* l;
};

/// The two factors e^(mᵢ − m). An empty side has the factor 0 without −inf − −inf.
template<class State>
__device__ State factor_of(State m_i, State m) {
    return m_i == m ? State{1} : exp(m_i - m);
}

template<class State>
__global__ void __launch_bounds__(row_threads)
    merge_kernel(rows_of<State> into, rows_of<State> from, std::int64_t rows, std::int64_t columns,
                 int lanes, bool fresh) {
    const std::int64_t row =
        (static_cast<std::int64_t>(blockIdx.x) * row_threads + threadIdx.x) / lanes;
    const int lane = static_cast<int>(threadIdx.x) % lanes;
    const bool inside = row < rows;
    State m{}, l{}, ours{}, theirs{1};
    if (inside) {
        m = from.m[row];
        l = from.l[row];
        if (!fresh) {
            const State m_ours = into.m[row];
            const State m_theirs = m;
            m = m_ours > m_theirs ? m_ours : m_theirs;
            ours = factor_of(m_ours, m);
            theirs = factor_of(m_theirs, m);
            l = into.l[row] * ours + l * theirs;
        }
    }
    __syncwarp(); // every lane of the row has read m and l
    if (!inside) return;
    if (lane == 0) {
        into.m[row] = m;
        into.l[row] = l;
    }
    State* to = into.acc + row * columns;
    const State* add = from.acc + row * columns;
    if (columns % 4 == 0) {
        for (std::int64_t c = 4 * lane; c < columns; c += 4 * lanes) {
            quad<State> a = *reinterpret_cast<const quad<State>*>(add + c);
            if (!fresh) {
                const quad<State> b = *reinterpret_cast<const quad<State>*>(to + c);
                for (int i = 0; i < 4; ++i)
                    a.x[i] = b.x[i] * ours + a.x[i] * theirs;
            }
            *reinterpret_cast<quad<State>*>(to + c) = a;
        }
    } else {
        for (std::int64_t c = lane; c < columns; c += lanes)
            to[c] = fresh ? add[c] : to[c] * ours + add[c] * theirs;
    }
}

template<class State>
void launch(const merge_task& task, cudaStream_t stream) {
    const auto view = [](const state_view& s) {
        return rows_of<State>{static_cast<State*>(s.acc), static_cast<State*>(s.m),
                              static_cast<State*>(s.l)};
    };
    const int lanes = lanes_per_row(task.head_dim);
    const std::int64_t blocks = (task.rows * lanes + row_threads - 1) / row_threads;
    if (blocks == 0) return;
    merge_kernel<State><<<static_cast<unsigned>(blocks), row_threads, 0, stream>>>(
        view(task.into), view(task.from), task.rows, task.head_dim, lanes, task.fresh);
    check(cudaGetLastError(), "launching merge");
}

} // namespace

void merge(const merge_task& task, void* stream) {
    if (state_type(task.type) == data_type::f64) {
        launch<double>(task, static_cast<cudaStream_t>(stream));
    } else {
        launch<float>(task, static_cast<cudaStream_t>(stream));
    }
}

} // namespace cqsa::cuda
