// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace cqsa::cpu {
namespace {

/// e^t for t <= 0 (a little above 0 too); 0 where e^t is below the normal numbers, NaN for NaN, and
/// exactly 1 for 0. t = n·ln 2 + r, |r| <= ln 2 / 2, e^r by a polynomial of least relative error
/// (Remez). Binary32: within 2 units in the last place; with `coarse` 5e-7, for weights that are
/// rounded to 16 bits. Binary64: within 2 units in the last place.
template<class V, bool coarse = false>
inline typename V::vec exponential(typename V::vec t) {
    using scalar = typename V::scalar;
    const auto c = [](double x) { return V::broadcast(static_cast<scalar>(x)); };
    constexpr bool single = sizeof(scalar) == 4;
    // The magic number rounds t / ln 2 to an integer and leaves it, biased, in the low bits.
    const auto magic = single ? c(0x1.8p23 + 127) : c(0x1.8p52 + 1023);
    const auto biased = V::fma(t, c(0x1.71547652b82fep0), magic);
    const auto n = V::sub(biased, magic);
    typename V::vec r;
    if constexpr (single && V::fused) {
        r = V::fma(n, c(-0x1.62e42fefa39efp-1), t);
    } else if constexpr (single) {
        r = V::fma(n, c(0x1.bd0105c610ca8p-13), V::fma(n, c(-0x1.63p-1), t));
    } else {
        r = V::fma(n, c(-0x1.cf79abc9e3b3ap-40), V::fma(n, c(-0x1.62e42fefap-1), t));
    }
    typename V::vec p;
    if constexpr (coarse) {
        p = V::fma(c(0.0069533351974589721), r, c(0.041875480765881027));
        p = V::fma(p, r, c(0.16687676034393287));
        p = V::fma(p, r, c(0.49999374245830386));
        p = V::fma(p, r, c(0.9999937117766525));
    } else if constexpr (single) {
        p = V::fma(c(0.0013814540176801306), r, c(0.0083687451089425907));
        p = V::fma(p, r, c(0.041668390783547913));
        p = V::fma(p, r, c(0.1666652039904253));
        p = V::fma(p, r, c(0.4999999343212929));
        p = V::fma(p, r, c(1));
    } else {
        p = V::fma(c(2.4445625541892686e-8), r, c(2.7614253967646272e-7));
        p = V::fma(p, r, c(2.7559047882415983e-6));
        p = V::fma(p, r, c(2.4801534295622579e-5));
        p = V::fma(p, r, c(0.00019841268201281337));
        p = V::fma(p, r, c(0.0013888888907921261));
        p = V::fma(p, r, c(0.008333333333940852));
        p = V::fma(p, r, c(0.041666666666647478));
        p = V::fma(p, r, c(0.16666666666665967));
        p = V::fma(p, r, c(0.49999999999999995));
        p = V::fma(p, r, c(1));
    }
    p = V::fma(p, r, c(1));
    const auto normal = V::not_less(t, single ? c(-87) : c(-708));
    return V::scale(normal, p, n, biased);
}

} // namespace
} // namespace cqsa::cpu
