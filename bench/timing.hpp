// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <vector>

namespace cqsa::bench {

/// Seconds of one call.
template<class Call>
double seconds_of(const Call& call) {
    const auto begin = std::chrono::steady_clock::now();
    call();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// The median of repeated measurements; of an even number the mean of the middle two.
inline double median(std::vector<double> values) {
    std::ranges::sort(values);
    const std::size_t middle = values.size() / 2;
    return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

/// The median seconds of `runs` calls.
template<class Call>
double median_seconds(int runs, const Call& call) {
    std::vector<double> seconds(static_cast<std::size_t>(runs));
    for (double& x : seconds) {
        x = seconds_of(call);
    }
    return median(seconds);
}

} // namespace cqsa::bench
