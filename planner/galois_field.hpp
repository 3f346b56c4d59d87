// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace cqsa {

/// q = characteristic^degree with a prime characteristic.
struct prime_power {
    std::int64_t characteristic = 0;
    int degree = 0;
};

/// The factorisation of q when it is a prime power, nothing otherwise.
std::optional<prime_power> as_prime_power(std::int64_t q);

/// The finite field GF(q). An element is an integer in [0, q) whose digits in base p are the
/// coefficients of a polynomial over GF(p), lowest first; 0 and 1 are the field's own. Products go
/// through logarithms to a primitive element, found by trying the monic polynomials of the field's
/// degree until the powers of x run through all q − 1 non-zero elements.
/// Source: Lidl and Niederreiter, Finite Fields, ch. 2 and 3.
class GaloisField {
  public:
    /// q must be a prime power, otherwise Error(usage).
    explicit GaloisField(std::int64_t q);

    [[nodiscard]] std::int64_t size() const { return q_; }
    [[nodiscard]] std::int64_t add(std::int64_t a, std::int64_t b) const;
    [[nodiscard]] std::int64_t multiply(std::int64_t a, std::int64_t b) const {
        return a == 0 || b == 0 ? 0 : power_[log_[a] + log_[b]];
    }

  private:
    bool fill_powers(std::int64_t reduction);
    [[nodiscard]] std::int64_t scale(std::int64_t digit, std::int64_t a) const;

    std::int64_t q_;
    prime_power form_;
    std::vector<std::int64_t> power_; ///< x^0 … x^(2q−3): a sum of two logarithms needs no modulus
    std::vector<std::int64_t> log_;
};

} // namespace cqsa
