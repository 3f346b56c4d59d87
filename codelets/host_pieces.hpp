// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace cqsa {

/// Host memory that is page-locked piece by piece. CUDA refuses a copy whose host side lies in
/// memory that was locked in two pieces, or only in part, so copies are cut where pieces meet,
/// whether they are locked yet or not.
class HostPieces {
  public:
    struct range {
        std::uintptr_t begin = 0;
        std::size_t bytes = 0;
    };

    HostPieces() = default;
    /// Pieces of `piece_bytes` (a multiple of the page) of what the ranges cover. Ranges grow to
    /// whole pages, and those that share pages become one.
    HostPieces(std::vector<range> ranges, std::size_t piece_bytes);

    [[nodiscard]] std::size_t count() const { return count_; }
    [[nodiscard]] range piece(std::size_t index) const;
    /// The piece that holds this byte; count() where none does.
    [[nodiscard]] std::size_t piece_of(std::uintptr_t address) const;
    /// How many of these bytes lie before the next place where copies are cut; at least one.
    [[nodiscard]] std::size_t uncut_bytes(std::uintptr_t address, std::size_t bytes) const;

  private:
    struct area {
        range memory;
        std::size_t first_piece = 0;
    };
    [[nodiscard]] const area* area_of(std::uintptr_t address) const;

    std::vector<area> areas_; ///< in ascending order of memory
    std::size_t piece_bytes_ = 1;
    std::size_t count_ = 0;
};

} // namespace cqsa
