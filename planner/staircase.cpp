// SPDX-License-Identifier: Apache-2.0
#include "planner/staircase.hpp"

namespace cqsa {

std::int64_t sum_of_quotients(std::int64_t count, std::int64_t slope, std::int64_t start,
                              std::int64_t width) {
    // Unsigned, because terms of the reduction may exceed 64 bits although the sum does not.
    auto n = static_cast<std::uint64_t>(count);
    auto a = static_cast<std::uint64_t>(slope);
    auto b = static_cast<std::uint64_t>(start);
    auto m = static_cast<std::uint64_t>(width);
    std::uint64_t sum = 0;
    while (n > 0) {
        if (a >= m) {
            // n(n − 1)/2 without losing the top bit
            sum += (n % 2 == 0 ? n / 2 * (n - 1) : (n - 1) / 2 * n) * (a / m);
            a %= m;
        }
        if (b >= m) {
            sum += n * (b / m);
            b %= m;
        }
        const std::uint64_t highest = a * n + b;
        if (highest < m) break;
        n = highest / m;
        b = highest % m;
        std::swap(a, m);
    }
    return static_cast<std::int64_t>(sum);
}

std::int64_t Staircase::count_up_to(std::int64_t y) const {
    if (y < 0) return 0;
    if (y >= top_) return count_;
    const std::int64_t room = y * width_ - start_;
    if (slope_ == 0) return room >= 0 ? count_ : 0;
    if (room < 0) return 0;
    return std::min(count_, room / slope_ + 1);
}

std::int64_t Staircase::sum(std::int64_t first, std::int64_t end) const {
    const std::int64_t low = std::clamp(count_up_to(0), first, end);
    const std::int64_t high = std::clamp(count_up_to(top_ - 1), low, end);
    // ⌈x / w⌉ = ⌊(x + w − 1) / w⌋, and x > 0 from `low` on.
    return sum_of_quotients(high - low, slope_, slope_ * low + start_ + width_ - 1, width_) +
           (end - high) * top_;
}

} // namespace cqsa
