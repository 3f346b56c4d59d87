// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/element.hpp"

#include <cstdint>
#include <cstring>
#include <type_traits>

namespace cqsa::cpu {
namespace {

/// What a simd type offers, here in GCC's and Clang's vector extensions: 16-byte vectors, which
/// every 64-bit processor has. `width` lanes of `scalar` make a `vec`, a `mask` selects lanes.
/// row_block x panel_vectors accumulators, with the operands, fill the register file.
template<class Scalar>
struct portable_simd {
    using scalar = Scalar;
    static constexpr int width = 16 / sizeof(Scalar);
    static constexpr int row_block = 6;
    static constexpr int panel_vectors = 2;
    using integer = std::conditional_t<sizeof(Scalar) == 4, std::uint32_t, std::uint64_t>;
    using vec [[gnu::vector_size(16)]] = Scalar;
    using mask [[gnu::vector_size(16)]] = integer;

    static vec zero() { return vec{}; }
    static vec broadcast(scalar x) { return x - vec{}; }
    static vec load(const scalar* p) {
        vec x;
        std::memcpy(&x, p, sizeof x);
        return x;
    }
    static void store(scalar* p, vec x) { std::memcpy(p, &x, sizeof x); }
    static vec fma(vec a, vec b, vec c) { return a * b + c; }
    /// a·b + c rounded once (binary32; here binary64 rounds the product): a huge score minus a huge
    /// maximum must not lose the difference.
    static vec fused(vec a, vec b, vec c) {
        vec x;
        for (int i = 0; i < width; ++i) {
            x[i] = static_cast<scalar>(static_cast<double>(a[i]) * b[i] + c[i]);
        }
        return x;
    }
    static vec add(vec a, vec b) { return a + b; }
    static vec sub(vec a, vec b) { return a - b; }
    static vec mul(vec a, vec b) { return a * b; }
    static vec max(vec a, vec b) { return a > b ? a : b; }
    static mask first(std::int64_t lanes) {
        mask m{};
        for (int i = 0; i < width && i < lanes; ++i) {
            m[i] = ~integer{0};
        }
        return m;
    }
    static mask not_less(vec a, vec b) { return ~reinterpret_cast<mask>(a < b); }
    static mask equal(vec a, vec b) { return reinterpret_cast<mask>(a == b); }
    static vec select(mask m, vec a, vec b) { return m ? a : b; }
    /// The nearest whole number. A magic number leaves it, with the format's exponent bias, in the
    /// low bits of `biased`.
    struct rounded {
        vec whole;
        vec biased;
    };
    static rounded round(vec x) {
        const vec magic =
            broadcast(sizeof(Scalar) == 4 ? Scalar(0x1.8p23 + 127) : Scalar(0x1.8p52 + 1023));
        const vec biased = x + magic;
        return {biased - magic, biased};
    }
    /// x · 2^n where `keep` is on (a NaN of x stays), 0 elsewhere.
    static vec scale(mask keep, vec x, const rounded& n) {
        constexpr int fraction_bits = sizeof(Scalar) == 4 ? 23 : 52;
        const mask power = reinterpret_cast<mask>(n.biased) << fraction_bits;
        return reinterpret_cast<vec>(reinterpret_cast<mask>(x * reinterpret_cast<vec>(power)) &
                                     keep);
    }
    static scalar reduce_add(vec x) {
        scalar sum = 0;
        for (int i = 0; i < width; ++i) {
            sum += x[i];
        }
        return sum;
    }
    static scalar reduce_max(vec x) {
        scalar high = x[0];
        for (int i = 1; i < width; ++i) {
            high = high > x[i] ? high : x[i];
        }
        return high;
    }
    /// n elements of an input type as scalars, exactly.
    template<class Element>
    static void widen(const Element* in, std::int64_t n, scalar* out) {
        for (std::int64_t i = 0; i < n; ++i) {
            if constexpr (std::is_same_v<Element, scalar>) {
                out[i] = in[i];
            } else {
                out[i] = to_float(in[i]);
            }
        }
    }
};

} // namespace
} // namespace cqsa::cpu
