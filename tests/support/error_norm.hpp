// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

namespace cqsa::test {

/// ‖x − expected‖₂ / ‖magnitude‖₂; elements that are equal (infinities too) or both NaN count as
/// equal, any other NaN or infinity makes it infinite. 0 / 0 is 0.
inline double relative_error(std::span<const double> x, std::span<const double> expected,
                             std::span<const double> magnitude) {
    if (x.size() != expected.size() || x.size() != magnitude.size()) {
        return std::numeric_limits<double>::infinity();
    }
    double difference = 0;
    double norm = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        if (x[i] == expected[i] || (std::isnan(x[i]) && std::isnan(expected[i]))) {
            norm += std::isfinite(magnitude[i]) ? magnitude[i] * magnitude[i] : 0;
            continue;
        }
        const double d = x[i] - expected[i];
        if (!std::isfinite(d)) {
            return std::numeric_limits<double>::infinity();
        }
        difference += d * d;
        norm += magnitude[i] * magnitude[i];
    }
    return difference == 0 ? 0 : std::sqrt(difference / norm);
}

/// Norm-wise relative error ‖x − expected‖₂ / ‖expected‖₂ with the same rules.
inline double relative_error(std::span<const double> x, std::span<const double> expected) {
    return relative_error(x, expected, expected);
}

/// max |x − expected| / max(1, |expected|), with the same rule for NaN and infinities.
inline double max_scaled_error(std::span<const double> x, std::span<const double> expected) {
    if (x.size() != expected.size()) {
        return std::numeric_limits<double>::infinity();
    }
    double worst = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        if (x[i] == expected[i] || (std::isnan(x[i]) && std::isnan(expected[i]))) {
            continue;
        }
        const double d = std::abs(x[i] - expected[i]) / std::max(1.0, std::abs(expected[i]));
        if (!std::isfinite(d)) {
            return std::numeric_limits<double>::infinity();
        }
        worst = std::max(worst, d);
    }
    return worst;
}

} // namespace cqsa::test
