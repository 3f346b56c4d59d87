// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

namespace cqsa {

/// Wichmann's sparse ruler with marks 0 … L, read modulo c: a difference cover whenever c ≤ 2L + 1.
/// The shortest that serves is taken; |A| ≈ √(1.5·c) for every c.
/// Source: Wichmann, "A note on restricted difference bases", J. London Math. Soc. 38 (1963);
/// Colbourn and Ling, "Quorums from difference covers", Information Processing Letters 75 (2000).
std::vector<std::int64_t> wichmann_cover(std::int64_t c);

/// Tries to make a cover smaller: an element goes, then elements are exchanged as long as some
/// residue is uncovered (a focused local search with a fixed seed), until `work` elementary
/// operations are spent. Returns the smallest cover met.
std::vector<std::int64_t> shrunk_cover(std::int64_t c, std::vector<std::int64_t> cover,
                                       std::int64_t work);

} // namespace cqsa
