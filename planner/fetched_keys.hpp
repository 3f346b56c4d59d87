// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

namespace cqsa {

/// The key blocks on a device that has buffers for so many, from the one used longest ago to the
/// one used last. Who fills it makes room before (runtime/graph.cpp does it with handles).
class FetchedKeys {
  public:
    explicit FetchedKeys(std::int64_t buffers) : buffers_(std::max<std::int64_t>(1, buffers)) {}

    [[nodiscard]] std::int64_t buffers() const { return buffers_; }
    [[nodiscard]] const std::vector<std::int64_t>& held() const { return held_; }
    [[nodiscard]] bool is_full() const { return std::ssize(held_) >= buffers_; }

    /// Now the one used last; it is not held.
    void take(std::int64_t block) { held_.push_back(block); }

    /// Whether it was held; now it is not.
    bool give_back(std::int64_t block) { return std::erase(held_, block) > 0; }

    /// The one used longest ago of those that may go; nothing where none may.
    template<class Test>
    std::optional<std::int64_t> give_up(Test may_go) {
        const auto one = std::ranges::find_if(held_, may_go);
        if (one == held_.end()) return std::nullopt;
        const std::int64_t block = *one;
        held_.erase(one);
        return block;
    }

  private:
    std::int64_t buffers_;
    std::vector<std::int64_t> held_;
};

} // namespace cqsa
