// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace cqsa {

/// The largest c that difference_set accepts.
constexpr std::int64_t max_chunks = 1'000'000;

/// A small set A ⊂ Z_c, ascending, 0 ∈ A, such that every residue is a difference of two of its
/// elements (a cyclic difference cover). Its translates are the quorums of CQS Divide: any two
/// chunks lie together in at least one of them. Deterministic; |A| ≤ 1.5·√c + 1.
///  - c = q² + q + 1, q a prime power, and c = 3: a perfect difference set, |A| = q + 1, in which
///    every non-zero residue is a difference exactly once.
///  - every other c: the smallest cover that constructions and a short search find.
/// Throws Error(usage) unless 1 ≤ c ≤ max_chunks.
/// Source of the use of these sets: Luk and Wong, "Two new quorum based algorithms for distributed
/// mutual exclusion", ICDCS 1997.
std::vector<std::int64_t> difference_set(std::int64_t c);

/// Whether every residue of Z_c is a difference of two elements of `set`, a list of distinct
/// elements of [0, c).
bool is_difference_cover(std::int64_t c, const std::vector<std::int64_t>& set);

/// q with c = q² + q + 1 when q is 1 or a prime power: then c has a perfect difference set.
std::optional<std::int64_t> singer_order(std::int64_t c);

/// Singer's difference set of c = q² + q + 1, q a prime power: the logarithms modulo c of the
/// points of a line of the projective plane over GF(q), the powers of a generator of
/// GF(q³)* / GF(q)* being its points. Contains 0 and 1.
/// Source: Singer, "A theorem in finite projective geometry and some applications to number
/// theory", Trans. AMS 43 (1938).
std::vector<std::int64_t> singer_set(std::int64_t q);

} // namespace cqsa
