// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

namespace cqsa {

/// Σ ⌊(slope·i + start) / width⌋ over 0 ≤ i < count, for slope, start ≥ 0 and width > 0, in
/// O(log width). The sum must fit 64 bits, intermediate results may wrap.
/// Source: Graham, Knuth, Patashnik, Concrete Mathematics, 3.5; AtCoder Library, floor_sum.
std::int64_t sum_of_quotients(std::int64_t count, std::int64_t slope, std::int64_t start,
                              std::int64_t width);

/// v(i) = clamp(⌈(slope·i + start) / width⌉, 0, top) for 0 ≤ i < count, slope ≥ 0: how many key
/// blocks the i-th of equal strips sees under a causal mask (slope 0: without a mask). Never
/// decreases; what its sums are asked for takes no loop over i.
class Staircase {
  public:
    Staircase(std::int64_t count, std::int64_t slope, std::int64_t start, std::int64_t width,
              std::int64_t top)
        : count_(count), slope_(slope), start_(start), width_(width), top_(top) {}

    [[nodiscard]] std::int64_t count() const { return count_; }
    [[nodiscard]] std::int64_t top() const { return top_; }

    [[nodiscard]] std::int64_t value(std::int64_t i) const {
        const std::int64_t raised = slope_ * i + start_;
        if (raised <= 0) return 0;
        return std::min(top_, (raised + width_ - 1) / width_);
    }

    /// How many of the first i have a value of at most y.
    [[nodiscard]] std::int64_t count_up_to(std::int64_t y) const;

    /// Σ v(i) over first ≤ i < end.
    [[nodiscard]] std::int64_t sum(std::int64_t first, std::int64_t end) const;
    [[nodiscard]] std::int64_t sum() const { return sum(0, count_); }

    /// The same steps under another ceiling, or lowered: clamp(…, 0, top).
    [[nodiscard]] Staircase capped(std::int64_t top) const {
        return {count_, slope_, start_, width_, std::min(top, top_)};
    }
    [[nodiscard]] Staircase lowered(std::int64_t by) const {
        return {count_, slope_, start_ - by * width_, width_, std::max<std::int64_t>(0, top_ - by)};
    }
    /// ⌈v(i) / by⌉.
    [[nodiscard]] Staircase divided_by(std::int64_t by) const {
        return {count_, slope_, start_, width_ * by, (top_ + by - 1) / by};
    }
    /// v(first), v(first + stride), …: `count` of them, as if the stairs went on.
    [[nodiscard]] Staircase every(std::int64_t stride, std::int64_t first,
                                  std::int64_t count) const {
        return {count, slope_ * stride, start_ + slope_ * first, width_, top_};
    }
    /// The greatest difference of neighbours; between 0 and the top the least is at most 1 less.
    [[nodiscard]] std::int64_t greatest_step() const { return (slope_ + width_ - 1) / width_; }

  private:
    std::int64_t count_;
    std::int64_t slope_;
    std::int64_t start_;
    std::int64_t width_;
    std::int64_t top_;
};

} // namespace cqsa
