// SPDX-License-Identifier: Apache-2.0
#include "planner/galois_field.hpp"

#include "planner/error.hpp"

#include <string>

namespace cqsa {

std::optional<prime_power> as_prime_power(std::int64_t q) {
    if (q < 2) return std::nullopt;
    std::int64_t p = 2;
    while (p * p <= q && q % p != 0)
        ++p;
    if (p * p > q) return prime_power{q, 1};
    int degree = 0;
    for (; q % p == 0; q /= p)
        ++degree;
    if (q != 1) return std::nullopt;
    return prime_power{p, degree};
}

GaloisField::GaloisField(std::int64_t q) : q_(q) {
    const auto form = as_prime_power(q);
    if (!form) {
        throw Error(error_code::usage, "a finite field needs a prime power of elements, but " +
                                           std::to_string(q) + " is none");
    }
    form_ = *form;
    power_.resize(2 * q - 2);
    log_.resize(q);
    std::int64_t reduction = 1;
    while (!fill_powers(reduction))
        ++reduction;
}

std::int64_t GaloisField::add(std::int64_t a, std::int64_t b) const {
    const std::int64_t p = form_.characteristic;
    if (p == 2) return a ^ b;
    if (form_.degree == 1) return a + b < p ? a + b : a + b - p;
    std::int64_t sum = 0;
    for (std::int64_t place = 1; place < q_; place *= p) {
        sum += (a % p + b % p) % p * place;
        a /= p;
        b /= p;
    }
    return sum;
}

std::int64_t GaloisField::scale(std::int64_t digit, std::int64_t a) const {
    const std::int64_t p = form_.characteristic;
    std::int64_t product = 0;
    for (std::int64_t place = 1; place < q_; place *= p) {
        product += digit * (a % p) % p * place;
        a /= p;
    }
    return product;
}

/// Takes x^degree = reduction (an element) and walks through the powers of x. True when they are
/// all the non-zero elements; log_ and power_ are complete then.
bool GaloisField::fill_powers(std::int64_t reduction) {
    const std::int64_t top = q_ / form_.characteristic;
    std::int64_t element = 1;
    for (std::int64_t exponent = 0; exponent < q_ - 1; ++exponent) {
        if (exponent > 0 && element <= 1) return false;
        power_[exponent] = power_[exponent + q_ - 1] = element;
        log_[element] = exponent;
        const std::int64_t shifted = element % top * form_.characteristic;
        element = add(shifted, scale(element / top, reduction));
    }
    return element == 1;
}

} // namespace cqsa
