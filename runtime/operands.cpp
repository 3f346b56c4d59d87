// SPDX-License-Identifier: Apache-2.0
#include "runtime/operands.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace cqsa {
namespace {

using shape4 = std::array<std::int64_t, 4>;

std::string text_of(const shape4& shape) {
    std::string text = "[";
    for (std::size_t i = 0; i < shape.size(); ++i) {
        text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
    }
    return text + "]";
}

[[noreturn]] void reject(const std::string& sentence) {
    throw Error(error_code::bad_input, sentence);
}

std::int64_t product(const shape4& shape) {
    std::int64_t elements = 1;
    for (const std::int64_t extent : shape) {
        if (__builtin_mul_overflow(elements, extent, &elements)) return -1;
    }
    return elements;
}

void check_array(const std::string& name, const void* data, data_type type, const shape4& shape,
                 const shape4& strides) {
    for (const std::int64_t extent : shape) {
        if (extent < 0)
            reject(name + ": extents must not be negative, but its shape is " + text_of(shape));
    }
    const std::int64_t elements = product(shape);
    if (elements < 0 || elements > INT64_MAX / 8) {
        reject(name + ": its shape " + text_of(shape) +
               " has more elements than 64 bits can count");
    }
    if (elements == 0) return;
    if (data == nullptr) reject(name + ": expected data, but the pointer is null");
    if (reinterpret_cast<std::uintptr_t>(data) % static_cast<std::uintptr_t>(bytes_of(type)) != 0) {
        reject(name + ": expected data aligned to its " + std::string(name_of(type)) +
               " elements, but the address is not");
    }
    for (std::size_t axis = 0; axis < 4; ++axis) {
        if (strides[axis] < 0) {
            reject(name + ": strides must not be negative, but they are " + text_of(strides));
        }
    }
    if (strides[3] != 1 && shape[3] > 1) {
        reject(name + ": expected head_dim to be contiguous (stride 1), but its stride is " +
               std::to_string(strides[3]));
    }
}

// Sufficient, and true of every array whose axes are nested: each axis steps over all inner ones.
void check_no_overlap(const std::string& name, const shape4& shape, const shape4& strides) {
    if (product(shape) == 0) return;
    std::vector<std::pair<std::int64_t, std::int64_t>> axes; // stride, extent
    for (std::size_t axis = 0; axis < 4; ++axis) {
        if (shape[axis] > 1) axes.emplace_back(strides[axis], shape[axis]);
    }
    std::ranges::sort(axes);
    std::int64_t span = 1;
    for (const auto& [stride, extent] : axes) {
        if (stride < span) {
            reject(name + ": its strides " + text_of(strides) + " make elements of shape " +
                   text_of(shape) + " share memory, but it is to be written");
        }
        span = stride * (extent - 1) + span;
    }
}

void expect_shape(const std::string& name, const shape4& came, const shape4& expected,
                  const std::string& why) {
    if (came != expected) {
        reject(name + ": expected shape " + text_of(expected) + " (" + why + "), but it is " +
               text_of(came));
    }
}

void expect_type(const std::string& name, data_type came, data_type expected,
                 const std::string& why) {
    if (came != expected) {
        reject(name + ": expected " + std::string(name_of(expected)) + " (" + why +
               "), but it is " + std::string(name_of(came)));
    }
}

} // namespace

problem check(const operands& given, const attend_options& options) {
    const auto& [q, k, v, out, lse] = given;
    check_array("q", q.data, q.type, q.shape, q.strides);
    check_array("k", k.data, k.type, k.shape, k.strides);
    check_array("v", v.data, v.type, v.shape, v.strides);
    check_array("out", out.data, out.type, out.shape, out.strides);
    check_no_overlap("out", out.shape, out.strides);

    problem result{.batch = q.shape[0],
                   .heads = q.shape[1],
                   .kv_heads = k.shape[1],
                   .tokens = q.shape[2],
                   .kv_tokens = k.shape[2],
                   .head_dim = q.shape[3],
                   .type = q.type,
                   .out_type = out.type,
                   .mask = options.mask};
    expect_type("k", k.type, q.type, "q's type");
    expect_type("v", v.type, q.type, "q's type");
    if (result.head_dim < 1 || result.head_dim > 256) {
        reject("q: expected a head_dim from 1 to 256, but its shape is " + text_of(q.shape));
    }
    expect_shape("k", k.shape, {result.batch, result.kv_heads, result.kv_tokens, result.head_dim},
                 "batch and head_dim of q");
    expect_shape("v", v.shape, k.shape, "k's shape");
    if (result.kv_heads < 1 || result.heads % result.kv_heads != 0) {
        reject("k: expected a number of heads that divides q's " + std::to_string(result.heads) +
               ", but it has " + std::to_string(result.kv_heads));
    }
    expect_shape("out", out.shape, q.shape, "q's shape");
    if (out.type != data_type::f32 || q.type == data_type::f64) {
        expect_type("out", out.type, q.type,
                    q.type == data_type::f64 ? "q's type" : "q's type or f32");
    }
    if (lse.data != nullptr) {
        check_array("lse", lse.data, lse.type, lse.shape, lse.strides);
        expect_shape("lse", lse.shape, {result.batch, result.heads, result.tokens, 1},
                     "one number for each query");
        expect_type("lse", lse.type, state_type(q.type), "the type of the running state");
        check_no_overlap("lse", lse.shape, lse.strides);
    }
    return result;
}

double scale_of(const problem& problem, const attend_options& options) {
    const double scale =
        options.scale.value_or(1.0 / std::sqrt(static_cast<double>(problem.head_dim)));
    if (!std::isfinite(scale)) {
        throw Error(error_code::usage, "scale: expected a finite number");
    }
    return scale;
}

} // namespace cqsa
