// SPDX-License-Identifier: Apache-2.0
#include "planner/difference_set.hpp"

#include "planner/cover_search.hpp"
#include "planner/error.hpp"
#include "planner/galois_field.hpp"

#include <string>

namespace cqsa {
namespace {

// Beyond this c a search of this length no longer improves on Wichmann's rulers.
constexpr std::int64_t searched_chunks = 200;
constexpr std::int64_t search_work = 2'000'000;

} // namespace

std::optional<std::int64_t> singer_order(std::int64_t c) {
    std::int64_t q = 1;
    while (q * q + q + 1 < c)
        ++q;
    if (q * q + q + 1 != c) return std::nullopt;
    if (q > 1 && !as_prime_power(q)) return std::nullopt;
    return q;
}

std::vector<std::int64_t> difference_set(std::int64_t c) {
    if (c < 1 || c > max_chunks) {
        throw Error(error_code::usage, "chunks must be from 1 to " + std::to_string(max_chunks) +
                                           ", but " + std::to_string(c) + " came");
    }
    if (c == 1) return {0};
    if (c <= 3) return {0, 1};
    if (const auto q = singer_order(c)) return singer_set(*q);
    auto cover = wichmann_cover(c);
    if (c <= searched_chunks) cover = shrunk_cover(c, std::move(cover), search_work);
    const std::int64_t shift = cover.front();
    for (auto& element : cover)
        element -= shift;
    return cover;
}

bool is_difference_cover(std::int64_t c, const std::vector<std::int64_t>& set) {
    std::vector<bool> covered(c, false);
    for (const std::int64_t a : set) {
        for (const std::int64_t b : set)
            covered[a < b ? a - b + c : a - b] = true;
    }
    for (const bool one : covered) {
        if (!one) return false;
    }
    return true;
}

} // namespace cqsa
