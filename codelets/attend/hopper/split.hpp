// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

namespace cqsa::cuda::hopper {

/// How the units of a launch (row tiles, or pairs of them) are shared out over the multiprocessors
/// (or pairs of them).
struct unit_split {
    std::int64_t split_units = 0; ///< so many of the last units are worked in parts over the keys
    std::int64_t parts = 1;
};

/// The most parts that the units of a launch are cut into, all together, and the most such units.
constexpr std::int64_t most_parts(std::int64_t workers) {
    return 4 * workers;
}
constexpr std::int64_t most_split_units(std::int64_t workers) {
    return most_parts(workers) / 2;
}

/// Units of one length: whole waves are worked whole; the rest, which would leave workers idle, is
/// cut into the number of parts with the shortest time by this model (in key tiles): a part costs
/// `item_overhead` beside its keys, and adding up costs `add_overhead` a part. Where another launch
/// follows, its units fill the last wave, and only a launch of less than one is cut.
inline unit_split split_uniform(std::int64_t units, std::int64_t key_tiles, std::int64_t workers,
                                bool followed) {
    constexpr double item_overhead = 1.5;
    constexpr double add_overhead = 0.4;
    const std::int64_t rest = units % workers;
    if (rest == 0 || (followed && units > workers)) return {};
    unit_split best;
    double best_time = static_cast<double>(key_tiles) + item_overhead;
    const auto most = std::min<std::int64_t>({key_tiles, 32, 2 * workers / rest});
    for (std::int64_t parts = 2; parts <= most; ++parts) {
        const std::int64_t waves = (rest * parts + workers - 1) / workers;
        const std::int64_t keys = (key_tiles + parts - 1) / parts;
        const double time =
            static_cast<double>(waves) * (static_cast<double>(keys) + item_overhead) +
            add_overhead * static_cast<double>(parts) + 1;
        if (time < best_time) {
            best_time = time;
            best = {rest, parts};
        }
    }
    return best;
}

} // namespace cqsa::cuda::hopper
