// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

namespace cqsa {

/// On a lone GPU the operands of an attend task are asked for when the one so many places before it
/// has ended.
constexpr std::int64_t attends_ahead = 3;

/// Then the keys of the next so many attend tasks stay where they already are, as far as there are
/// buffers for them, and others make room in the order of their last use.
constexpr std::int64_t attends_in_sight = 12;

/// The key blocks on a device that has buffers for so many, from the one used longest ago to the
/// one used last, and which of them stay: those in sight. The graph (runtime/fetch_ahead.hpp) and
/// the planner's simulation of it (planner/schedule.hpp) give up keys by this one rule. `Key`: what
/// a block is known by. Who takes a block makes room before.
template<class Key>
class FetchedKeys {
  public:
    explicit FetchedKeys(std::int64_t buffers) : buffers_(std::max<std::int64_t>(1, buffers)) {}

    [[nodiscard]] const std::vector<Key>& held() const { return held_; }
    [[nodiscard]] bool is_full() const { return std::ssize(held_) >= buffers_; }

    /// Now the one used last; it is not held.
    void take(const Key& key) { held_.push_back(key); }

    /// Now the one used longest ago; it is not held.
    void take_as_oldest(const Key& key) { held_.insert(held_.begin(), key); }

    /// Whether it was held; now it is not.
    bool give_back(const Key& key) { return std::erase(held_, key) > 0; }

    /// The one used longest ago of those out of sight; nothing where all are in sight.
    std::optional<Key> give_up() {
        const auto one =
            std::ranges::find_if(held_, [this](const Key& key) { return !is_in_sight(key); });
        if (one == held_.end()) return std::nullopt;
        const Key key = *one;
        held_.erase(one);
        return key;
    }

    /// Gives back those of which `is_gone` is true.
    template<class Test>
    void give_back_if(Test is_gone) {
        std::erase_if(held_, is_gone);
    }

    /// Also the keys of the next task; false, and none of them, where there are no buffers for the
    /// keys of so many tasks.
    bool see(const std::vector<Key>& keys) {
        const auto seen = std::ssize(sight_);
        for (const Key& key : keys)
            if (!is_in_sight(key)) sight_.push_back(key);
        if (std::ssize(sight_) <= buffers_) return true;
        sight_.resize(static_cast<std::size_t>(seen));
        return false;
    }

    [[nodiscard]] bool sees_any() const { return !sight_.empty(); }
    void forget_sight() { sight_.clear(); }

  private:
    [[nodiscard]] bool is_in_sight(const Key& key) const {
        return std::ranges::find(sight_, key) != sight_.end();
    }

    std::int64_t buffers_;
    std::vector<Key> held_;
    std::vector<Key> sight_;
};

} // namespace cqsa
