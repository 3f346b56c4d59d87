// SPDX-License-Identifier: Apache-2.0
#include "planner/multiprocessors.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace cqsa {
namespace {

// More groups tell no more: tiles do not end all that evenly.
constexpr std::size_t most_groups = 4;

} // namespace

double Multiprocessors::run(double tiles, double tile_seconds, double start) {
    wait_until(start);
    // Where none is free for a second tile before all have had one, whole waves pass alike.
    const double waves = std::ceil(tiles / count_) - 1;
    if (waves > 0 && free_.back().from - free_.front().from <= tile_seconds) {
        for (group& one : free_)
            one.from += waves * tile_seconds;
        tiles -= waves * count_;
    }
    double end = start;
    while (tiles > 0) {
        group& first = free_.front();
        const group busy{first.from + tile_seconds, std::min(tiles, first.count)};
        tiles -= busy.count;
        first.count -= busy.count;
        if (first.count <= 0) free_.erase(free_.begin());
        add(busy);
        end = busy.from;
    }
    return end;
}

void Multiprocessors::wait_until(double time) {
    double waiting = 0;
    const auto later = std::ranges::find_if(free_, [&](const group& one) {
        if (one.from > time) return true;
        waiting += one.count;
        return false;
    });
    if (waiting == 0) return;
    free_.erase(free_.begin(), later);
    free_.insert(free_.begin(), {time, waiting});
}

void Multiprocessors::add(group more) {
    const auto later =
        std::ranges::find_if(free_, [&](const group& one) { return one.from >= more.from; });
    if (later != free_.end() && later->from == more.from) {
        later->count += more.count;
        return;
    }
    free_.insert(later, more);
    if (free_.size() <= most_groups) return;
    // The two that are closest become one.
    std::size_t closest = 0;
    for (std::size_t i = 1; i + 1 < free_.size(); ++i) {
        const double gap = free_[i + 1].from - free_[i].from;
        if (gap < free_[closest + 1].from - free_[closest].from) closest = i;
    }
    group& one = free_[closest];
    const group& next = free_[closest + 1];
    const double count = one.count + next.count;
    one.from = (one.from * one.count + next.from * next.count) / count;
    one.count = count;
    free_.erase(free_.begin() + static_cast<std::ptrdiff_t>(closest) + 1);
}

} // namespace cqsa
