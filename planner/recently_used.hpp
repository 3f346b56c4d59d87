// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

namespace cqsa {

/// A cache of so many of the blocks 0 … blocks − 1, which makes room in the order of their last
/// use.
class RecentlyUsed {
  public:
    RecentlyUsed(std::int64_t blocks, std::int64_t capacity)
        : older_(blocks + 1, none), newer_(blocks + 1, none),
          room_(std::max<std::int64_t>(1, capacity)), ends_(blocks) {
        older_[ends_] = newer_[ends_] = ends_;
    }

    /// The block that makes room for the next one that is not held; nothing where there is room.
    [[nodiscard]] std::optional<std::int64_t> next_out() const {
        return room_ > 0 ? std::nullopt : std::optional(newer_[ends_]);
    }

    /// Whether the block must be loaded before it is used now.
    bool use(std::int64_t block) {
        const bool loaded = older_[block] == none;
        if (!loaded) {
            unlink(block);
        } else if (room_ > 0) {
            --room_;
        } else {
            const std::int64_t oldest = newer_[ends_];
            unlink(oldest);
            older_[oldest] = none;
        }
        older_[block] = older_[ends_];
        newer_[block] = ends_;
        newer_[older_[block]] = block;
        older_[ends_] = block;
        return loaded;
    }

  private:
    static constexpr std::int64_t none = -1;

    void unlink(std::int64_t block) {
        newer_[older_[block]] = newer_[block];
        older_[newer_[block]] = older_[block];
    }

    std::vector<std::int64_t> older_; ///< a ring through ends_, whose older one is the newest
    std::vector<std::int64_t> newer_;
    std::int64_t room_;
    std::int64_t ends_;
};

} // namespace cqsa
