// SPDX-License-Identifier: Apache-2.0
#include "planner/difference_set.hpp"
#include "planner/galois_field.hpp"

#include <array>

namespace cqsa {
namespace {

/// u + v·x + w·x² in GF(q)[x] modulo a monic cubic.
using cubic_element = std::array<std::int64_t, 3>;

/// The exponents i < c for which x^i lies in the plane w = 0, when x generates
/// GF(q)[x]/(x³ − r)* modulo GF(q)*; empty when it does not, or when the ring is no field.
std::vector<std::int64_t> plane_of_powers(const GaloisField& field, const cubic_element& r,
                                          std::int64_t c) {
    std::vector<std::int64_t> exponents;
    cubic_element power = {1, 0, 0};
    for (std::int64_t i = 0; i < c; ++i) {
        const bool scalar = power[1] == 0 && power[2] == 0;
        if (i > 0 && scalar) return {};
        if (power[2] == 0) exponents.push_back(i);
        power = {field.multiply(power[2], r[0]),
                 field.add(power[0], field.multiply(power[2], r[1])),
                 field.add(power[1], field.multiply(power[2], r[2]))};
    }
    if (power[1] != 0 || power[2] != 0 || power[0] == 0) return {};
    return exponents;
}

} // namespace

std::vector<std::int64_t> singer_set(std::int64_t q) {
    const GaloisField field(q);
    const std::int64_t c = q * q + q + 1;
    // r[0] ≠ 0 makes x invertible, so its powers return to a scalar; when that takes c steps they
    // meet every point of the plane once, which only happens in a field.
    for (std::int64_t code = 0;; ++code) {
        const cubic_element r = {1 + code % (q - 1), code / (q - 1) % q, code / (q - 1) / q};
        auto exponents = plane_of_powers(field, r, c);
        if (!exponents.empty()) return exponents;
    }
}

} // namespace cqsa
