// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/problem.hpp"

#include <cstdint>
#include <utility>

namespace cqsa::bench {

/// Attention of whole sequences, all data on the GPU, cut into blocks of `block_tokens` (0: one).
struct attention_case {
    data_type type = data_type::bf16;
    std::int64_t head_dim = 64;
    std::int64_t heads = 8;
    std::int64_t tokens = 65536;
    std::int64_t kv_tokens = 65536;
    std::int64_t block_tokens = 0;
    bool causal = false;
    /// Only the pairs that one quorum of the perfect difference set {0, 1, 3} mod 7 owns of a
    /// causal sequence of seven blocks: three dense pairs of blocks and a diagonal one.
    bool quorum = false;
    bool resume = false;       ///< the state is read, too
    std::int64_t launches = 1; ///< one after another on the stream, each over all keys
};

/// TFLOP/s, counted as 4·tokens·kv_tokens·heads·head_dim (half of it when causal) per launch.
double attention_rate(const attention_case& c);

/// TFLOP/s of two cases that take turns of some 30 ms without a pause for two seconds: the GPU,
/// whose clock follows temperature and power from one moment to the next, is the same for both.
std::pair<double, double> compared_rates(const attention_case& a, const attention_case& b);

/// GB/s, bytes read and written: a device-to-device copy, merge, and finalize to a 16-bit output.
double copy_bandwidth();
double merge_bandwidth(std::int64_t head_dim);
double finalize_bandwidth(std::int64_t head_dim);

} // namespace cqsa::bench
