// SPDX-License-Identifier: Apache-2.0
#include "planner/cover_search.hpp"

#include <algorithm>
#include <limits>
#include <random>

namespace cqsa {
namespace {

/// How often each difference of a set occurs. d and c − d are one difference, kept as the smaller.
class Differences {
  public:
    explicit Differences(std::int64_t c) : c_(c), count_(c / 2 + 1, 0), uncovered_(c / 2) {}

    [[nodiscard]] std::int64_t between(std::int64_t a, std::int64_t b) const {
        const std::int64_t d = a < b ? b - a : a - b;
        return std::min(d, c_ - d);
    }
    [[nodiscard]] std::int64_t count(std::int64_t d) const { return count_[d]; }
    [[nodiscard]] std::int64_t uncovered() const { return uncovered_; }

    void add(const std::vector<std::int64_t>& set, std::int64_t x) {
        for (const std::int64_t a : set) {
            const std::int64_t d = between(a, x);
            if (d != 0 && count_[d]++ == 0) --uncovered_;
        }
    }
    void remove(const std::vector<std::int64_t>& set, std::int64_t x) {
        for (const std::int64_t a : set) {
            const std::int64_t d = between(a, x);
            if (d != 0 && --count_[d] == 0) ++uncovered_;
        }
    }

  private:
    std::int64_t c_;
    std::vector<std::int64_t> count_;
    std::int64_t uncovered_;
};

std::int64_t wrapped(std::int64_t x, std::int64_t c) {
    return x < 0 ? x + c : x >= c ? x - c : x;
}

} // namespace

std::vector<std::int64_t> wichmann_cover(std::int64_t c) {
    std::int64_t best_marks = std::numeric_limits<std::int64_t>::max();
    std::int64_t best_r = 0;
    std::int64_t best_s = 0;
    for (std::int64_t r = 0; 4 * r + 3 < best_marks; ++r) {
        // L = 4r(r + s + 2) + 3(s + 1) ≥ c / 2
        const std::int64_t rest = c / 2 - 4 * r * (r + 2) - 3;
        const std::int64_t s = rest <= 0 ? 0 : (rest + 4 * r + 2) / (4 * r + 3);
        if (4 * r + s + 3 < best_marks) {
            best_marks = 4 * r + s + 3;
            best_r = r;
            best_s = s;
        }
    }
    const std::int64_t r = best_r;
    std::vector<std::int64_t> marks = {0};
    const auto lay = [&](std::int64_t times, std::int64_t gap) {
        for (std::int64_t i = 0; i < times; ++i)
            marks.push_back(marks.back() + gap);
    };
    lay(r, 1);
    lay(1, r + 1);
    lay(r, 2 * r + 1);
    lay(best_s, 4 * r + 3);
    lay(r + 1, 2 * r + 2);
    lay(r, 1);
    for (auto& mark : marks)
        mark %= c;
    std::ranges::sort(marks);
    marks.erase(std::unique(marks.begin(), marks.end()), marks.end());
    return marks;
}

std::vector<std::int64_t> shrunk_cover(std::int64_t c, std::vector<std::int64_t> cover,
                                       std::int64_t work) {
    std::mt19937_64 random(static_cast<std::uint64_t>(c));
    const auto below = [&](std::size_t n) {
        return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(n));
    };
    std::vector<std::int64_t> set = cover;
    Differences differences(c);
    for (std::size_t i = 0; i < set.size(); ++i) {
        differences.add({set.begin(), set.begin() + static_cast<std::ptrdiff_t>(i)}, set[i]);
    }
    std::vector<std::int64_t> banned_until(c, 0);
    std::vector<std::int64_t> missing;
    std::int64_t round = 0;
    while (work > 0) {
        if (differences.uncovered() == 0) {
            cover = set;
            const std::int64_t victim = below(set.size());
            differences.remove(set, set[victim]);
            set.erase(set.begin() + victim);
            if (set.size() * (set.size() - 1) < static_cast<std::size_t>(c - 1)) break;
            continue;
        }
        ++round;
        missing.clear();
        for (std::int64_t d = 1; d <= c / 2; ++d) {
            if (differences.count(d) == 0) missing.push_back(d);
        }
        const std::int64_t wanted = missing[below(missing.size())];
        std::int64_t best_out = -1;
        std::int64_t best_in = -1;
        std::int64_t best_left = std::numeric_limits<std::int64_t>::max();
        for (std::size_t out = 0; out < set.size(); ++out) {
            const std::int64_t gone = set[out];
            differences.remove(set, gone);
            set[out] = set.back();
            set.pop_back();
            for (std::size_t i = 0; i < 2 * set.size(); ++i) {
                const std::int64_t x =
                    wrapped(i % 2 == 0 ? set[i / 2] + wanted : set[i / 2] - wanted, c);
                if (banned_until[x] > round) continue;
                differences.add(set, x);
                const std::int64_t left = differences.uncovered();
                differences.remove(set, x);
                if (left < best_left) {
                    best_left = left;
                    best_out = gone;
                    best_in = x;
                }
            }
            set.push_back(gone);
            std::swap(set[out], set.back());
            differences.add(set, gone);
        }
        const auto k = static_cast<std::int64_t>(set.size());
        work -= 4 * k * k * k + c / 2;
        if (best_in < 0) continue;
        differences.remove(set, best_out);
        std::erase(set, best_out);
        differences.add(set, best_in);
        set.push_back(best_in);
        banned_until[best_out] = round + 3 + below(set.size());
    }
    std::ranges::sort(cover);
    return cover;
}

} // namespace cqsa
