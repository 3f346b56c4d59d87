// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace cqsa::cpu {
namespace {

/// Largest relative error of exponential().
enum class accuracy {
    coarse, ///< 3e-6: for weights that come from 16-bit numbers
    fine,   ///< 1.5 units in the last place
    exact,  ///< 1 unit in the last place, and 2^0 is exactly 1
};

/// 2^x for x <= 0 (a little above 0 too); 0 where 2^x is below the normal numbers, NaN for NaN.
/// x = n + r with |r| <= 1/2; 2^r by a polynomial of least relative error (Remez' algorithm).
template<class V, accuracy wanted>
inline typename V::vec exponential(typename V::vec x) {
    using scalar = typename V::scalar;
    const auto c = [](double value) { return V::broadcast(static_cast<scalar>(value)); };
    constexpr bool single = sizeof(scalar) == 4;
    const auto n = V::round(x);
    const auto r = V::sub(x, n.whole);
    typename V::vec p;
    if constexpr (single && wanted == accuracy::coarse) {
        p = V::fma(c(0.0095700634759902439), r, c(0.055918189071527413));
        p = V::fma(p, r, c(0.24024748175970224));
        p = V::fma(p, r, c(0.69312177467344017));
        p = V::fma(p, r, c(0.99999925967764033));
    } else if constexpr (single && wanted == accuracy::fine) {
        p = V::fma(c(0.0013276426981056527), r, c(0.009675587002816123));
        p = V::fma(p, r, c(0.055507137550685908));
        p = V::fma(p, r, c(0.24022118882039546));
        p = V::fma(p, r, c(0.69314696655392035));
        p = V::fma(p, r, c(1.0000000718240473));
    } else if constexpr (single) {
        p = V::fma(c(0.00015463346708901174), r, c(0.0013400467392784782));
        p = V::fma(p, r, c(0.009618052128444269));
        p = V::fma(p, r, c(0.055503271354817132));
        p = V::fma(p, r, c(0.24022650942360001));
        p = V::fma(p, r, c(0.69314720674095483));
        p = V::fma(p, r, c(1));
    } else {
        p = V::fma(c(4.4352745128491305e-10), r, c(7.0741209201671609e-9));
        p = V::fma(p, r, c(1.0178198200750591e-7));
        p = V::fma(p, r, c(1.321543300407441e-6));
        p = V::fma(p, r, c(1.5252733489235186e-5));
        p = V::fma(p, r, c(0.00015403530462679655));
        p = V::fma(p, r, c(0.0013333558146791078));
        p = V::fma(p, r, c(0.0096181291075882074));
        p = V::fma(p, r, c(0.055504108664819915));
        p = V::fma(p, r, c(0.24022650695910157));
        p = V::fma(p, r, c(0.69314718055994533));
        p = V::fma(p, r, c(1));
    }
    return V::scale(V::not_less(x, single ? c(-126) : c(-1022)), p, n);
}

/// The same within 6e-7 for single precision with V's table of 2^(i/16), in fewer multiplications;
/// where 2^x is below the normal numbers, it is rounded to what there is, or 0.
/// x = y + r with y a multiple of 1/16 and |r| <= 1/32; the fraction of 2^y from the table, 2^r by
/// a polynomial.
template<class V>
inline typename V::vec exponential_by_table(typename V::vec x) {
    using scalar = typename V::scalar;
    const auto c = [](double value) { return V::broadcast(static_cast<scalar>(value)); };
    const auto unit = c(1.5 * (1 << 19)); // there floating-point numbers are 1/16 apart
    x = V::max(c(-200), x);               // −inf has no r; NaN stays
    const auto shifted = V::add(x, unit);
    const auto y = V::sub(shifted, unit);
    const auto r = V::sub(x, y);
    const auto p = V::mul(r, V::fma(c(0.2402265069591007), r, c(0.6931878329832839)));
    const auto fraction = V::sixteenth_power(shifted);
    return V::scale(V::fma(fraction, p, fraction), y);
}

} // namespace
} // namespace cqsa::cpu
