// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/half.hpp"
#include "planner/problem.hpp"

#include <cstdint>
#include <type_traits>
#include <utility>

namespace cqsa {

/// A value of any element type as float64 (exact) and back (rounded to nearest even; to the 16-bit
/// types through binary32).
constexpr double to_double(half x) {
    return static_cast<double>(to_float(x));
}
constexpr double to_double(bfloat16 x) {
    return static_cast<double>(to_float(x));
}
constexpr double to_double(float x) {
    return static_cast<double>(x);
}
constexpr double to_double(double x) {
    return x;
}

template<class T>
constexpr T from_double(double x) {
    if constexpr (std::is_same_v<T, half>) {
        return to_half(static_cast<float>(x));
    } else if constexpr (std::is_same_v<T, bfloat16>) {
        return to_bfloat16(static_cast<float>(x));
    } else {
        return static_cast<T>(x);
    }
}

/// Calls visit(T{}) with the C++ type of the elements: half, bfloat16, float or double.
template<class Visitor>
constexpr decltype(auto) with_element(data_type type, Visitor&& visit) {
    switch (type) {
    case data_type::f16:
        return std::forward<Visitor>(visit)(half{});
    case data_type::bf16:
        return std::forward<Visitor>(visit)(bfloat16{});
    case data_type::f32:
        return std::forward<Visitor>(visit)(float{});
    case data_type::f64:
        break;
    }
    return std::forward<Visitor>(visit)(double{});
}

/// The same for the state's type: float or double.
template<class Visitor>
constexpr decltype(auto) with_state_element(data_type type, Visitor&& visit) {
    if (state_type(type) == data_type::f64) {
        return std::forward<Visitor>(visit)(double{});
    }
    return std::forward<Visitor>(visit)(float{});
}

/// Element `index` of an array of `type` as float64, and its assignment.
inline double read_element(data_type type, const void* data, std::int64_t index) {
    return with_element(
        type, [&](auto tag) { return to_double(static_cast<const decltype(tag)*>(data)[index]); });
}
inline void write_element(data_type type, void* data, std::int64_t index, double value) {
    with_element(type, [&](auto tag) {
        static_cast<decltype(tag)*>(data)[index] = from_double<decltype(tag)>(value);
    });
}

} // namespace cqsa
