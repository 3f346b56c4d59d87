// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

/// Row-wise work on packed states: a group of neighbouring lanes takes a row, so the whole row is
/// read and written by one warp, four elements a lane and step.
namespace cqsa::cuda {

constexpr int row_threads = 256;

/// Lanes for a row of `columns` elements: a power of two, four columns a lane where that is enough.
inline int lanes_per_row(std::int64_t columns) {
    int lanes = 1;
    while (lanes < 32 && 4 * lanes < columns)
        lanes *= 2;
    return lanes;
}

/// Four neighbouring elements of a state. `alignas` makes loads and stores 16 bytes wide (f32).
template<class State>
struct alignas(sizeof(State) == 4 ? 16 : 32) quad {
    State x[4];
};

} // namespace cqsa::cuda
