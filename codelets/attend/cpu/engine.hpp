// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/attend/cpu/register_blocks.hpp"
#include "codelets/cpu/exponential.hpp"

#include <cstdint>

namespace cqsa::cpu {
namespace {

/// An engine is how an instruction set multiplies matrices of one element type. Sums run over
/// *units*, runs of `pair` successive elements that one lane of a vector holds (two bf16, or one
/// scalar). This engine works with any simd type V and widens 16-bit elements to V's scalars.
template<class V_, class Element>
struct widening_engine {
    using V = V_;            ///< simd type of scores, exponentials and accumulators
    using element = Element; ///< of queries, keys and values in memory
    using unit = typename V::scalar;
    static constexpr int pair = 1;
    static constexpr int depth = 1; ///< the units of a sum are padded to a multiple of this
    /// Rows and keys whose scores are in memory at a time: few rows, so that a near cache holds
    /// them; many keys, since ends of rows take time.
    static constexpr std::int64_t tile_rows = 16;
    static constexpr std::int64_t tile_keys = 2048;
    /// Keys that P·V adds up in one go: rounding errors grow with the root of that.
    static constexpr std::int64_t sum_keys = sizeof(Element) == 2 ? tile_keys : 512;
    static constexpr std::int64_t tile_bytes = std::int64_t{4} << 20; ///< of keys and values
    /// 2: the weights of a tile are computed while the next tile's scores are.
    static constexpr int tiles_in_flight = 1;

    /// Lives on a thread while it multiplies.
    struct session {};
    template<int stride, bool update>
    static void multiply(const product<widening_engine>& x) {
        multiply_in_registers<widening_engine, stride, update>(x);
    }

    static void widen(const element* in, std::int64_t n, unit* out) { V::widen(in, n, out); }
    static unit negated(unit x) { return -x; }
    /// One unit in every lane, and a vector of units.
    static auto spread(const unit* a) { return V::broadcast(*a); }
    static auto lanes(const unit* b) { return V::load(b); }
    static auto dot(typename V::vec a, typename V::vec b, typename V::vec c) {
        return V::fma(a, b, c);
    }
    /// 2^x, for weights.
    static typename V::vec power_of_2(typename V::vec x) {
        constexpr accuracy wanted = sizeof(Element) == 2 ? accuracy::coarse : accuracy::fine;
        return exponential<V, wanted>(x);
    }
    /// Two vectors of weights as units.
    static void store_weights(unit* out, typename V::vec a, typename V::vec b) {
        V::store(out, a);
        V::store(out + V::width, b);
    }
};

} // namespace
} // namespace cqsa::cpu
