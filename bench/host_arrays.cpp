// SPDX-License-Identifier: Apache-2.0
#include "bench/host_arrays.hpp"

#include "runtime/files/random_array.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace cqsa::bench {
namespace {

std::array<std::int64_t, 4> shape_of(const attend_case& x) {
    return {1, x.heads, x.tokens, x.head_dim};
}

void fill_bytes(void* data, std::int64_t bytes, int value) {
    constexpr std::int64_t piece = std::int64_t{4} << 20;
#pragma omp parallel for schedule(static)
    for (std::int64_t begin = 0; begin < bytes; begin += piece) {
        std::memset(static_cast<std::byte*>(data) + begin, value,
                    static_cast<std::size_t>(std::min(piece, bytes - begin)));
    }
}

} // namespace

HostArrays::HostArrays(const attend_case& x, bool filled)
    : case_(x), filled_(filled), q_(operand_bytes()), k_(operand_bytes()), v_(operand_bytes()),
      out_(operand_bytes()), lse_(lse_bytes()) {
    if (!filled) return;
    std::uint64_t stream = 0;
    for (const tool::HostBuffer* buffer : {&q_, &k_, &v_}) {
        files::fill_normal(buffer->data(), x.type, x.heads * x.tokens * x.head_dim, 0, stream++);
    }
    spoil_outputs();
}

tensor HostArrays::read(const tool::HostBuffer& buffer) const {
    const auto shape = shape_of(case_);
    return {buffer.data(), case_.type, shape, bhnd_strides(shape)};
}

mutable_tensor HostArrays::out() const {
    const auto shape = shape_of(case_);
    return {out_.data(), case_.type, shape, bhnd_strides(shape)};
}

mutable_tensor HostArrays::lse() const {
    auto shape = shape_of(case_);
    shape[3] = 1;
    return {lse_.data(), state_type(case_.type), shape, bhnd_strides(shape)};
}

void HostArrays::spoil_outputs() const {
    if (!filled_) return;
    // All bits set are a NaN in every type.
    fill_bytes(out_.data(), operand_bytes(), 0xff);
    fill_bytes(lse_.data(), lse_bytes(), 0xff);
}

std::int64_t HostArrays::operand_bytes() const {
    return case_.heads * case_.tokens * case_.head_dim * bytes_of(case_.type);
}

std::int64_t HostArrays::lse_bytes() const {
    return case_.heads * case_.tokens * bytes_of(state_type(case_.type));
}

} // namespace cqsa::bench
