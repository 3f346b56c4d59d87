// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

namespace cqsa {

/// When a GPU's multiprocessors are free. Each works one tile at a time, tiles of a launch begin in
/// turn on those that are free first, and a launch may begin while the one before it still has
/// tiles at work. So launches that follow each other closely lose nothing at their ends, and one
/// that comes late has left some multiprocessors without work.
class Multiprocessors {
  public:
    explicit Multiprocessors(double count) : count_(count), free_{{0, count}} {}

    /// Launches so many tiles, each of so many seconds, at `start`; the end of the last.
    double run(double tiles, double tile_seconds, double start);

    /// No tile begins before.
    void wait_until(double time);

  private:
    struct group {
        double from;
        double count;
    };

    void add(group more);

    double count_;
    std::vector<group> free_; ///< from the first that are free to the last
};

} // namespace cqsa
