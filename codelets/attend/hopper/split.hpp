// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

namespace cqsa::cuda::hopper {

/// How the tiles of a launch are shared out over the multiprocessors.
struct unit_split {
    std::int64_t split_units = 0; ///< so many of the last tiles are worked in parts over the keys
    std::int64_t parts = 1;
};

/// The most parts that the tiles of a launch are cut into, all together, and the most such tiles.
constexpr std::int64_t most_parts(std::int64_t multiprocessors) {
    return 4 * multiprocessors;
}
constexpr std::int64_t most_split_units(std::int64_t multiprocessors) {
    return most_parts(multiprocessors) / 2;
}

/// Tiles of one length: whole waves are worked whole; the rest, which would leave multiprocessors
/// idle, is cut into the number of parts with the shortest time by this model (in key tiles): a
/// part costs `item_overhead` beside its keys, and adding up costs `add_overhead` a part. Where
/// another launch follows, its tiles fill the last wave, and only a launch of less than one is cut.
inline unit_split split_uniform(std::int64_t tiles, std::int64_t key_tiles,
                                std::int64_t multiprocessors, bool followed) {
    constexpr double item_overhead = 1.5;
    constexpr double add_overhead = 0.4;
    const std::int64_t rest = tiles % multiprocessors;
    if (rest == 0 || (followed && tiles > multiprocessors)) return {};
    unit_split best;
    double best_time = static_cast<double>(key_tiles) + item_overhead;
    const auto most = std::min<std::int64_t>({key_tiles, 32, 2 * multiprocessors / rest});
    for (std::int64_t parts = 2; parts <= most; ++parts) {
        const std::int64_t waves = (rest * parts + multiprocessors - 1) / multiprocessors;
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
