// SPDX-License-Identifier: Apache-2.0
#include "runtime/tool/operands.hpp"

#include "planner/describe.hpp"
#include "runtime/files/random_array.hpp"
#include "runtime/files/text.hpp"
#include "runtime/host_memory.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <limits>
#include <utility>

namespace cqsa::tool {
namespace {

using shape4 = std::array<std::int64_t, 4>;

[[noreturn]] void reject(const std::string& sentence) {
    throw Error(error_code::usage, sentence);
}

/// Shapes as the user's files have them.
std::string shape_in_file(const input_set& inputs, const shape4& shape, files::axis_order order) {
    return files::text_of(files::file_shape(shape, order, inputs.rank));
}

void set_problem(const request& request, input_set& inputs) {
    const auto& [q, k, v] = inputs.tensors;
    const std::int64_t head_dim = q.shape[3];
    std::array<std::string, 3> names{"--random", "--random", "--random"};
    if (!request.random)
        for (std::size_t i = 0; i < 3; ++i)
            names[i] = inputs.sources[i].operand;
    const auto refuse = [&](const std::string& name, const std::string& what) {
        throw Error(request.random ? error_code::usage : error_code::bad_input, name + ": " + what);
    };
    const auto shape_of = [&](const tensor& t) {
        return shape_in_file(inputs, t.shape, request.order);
    };

    for (std::size_t i = 1; i < 3; ++i) {
        const tensor& t = inputs.tensors[i];
        if (t.type != q.type)
            refuse(names[i], fmt::format("expected the type of q, {}, but it holds {}",
                                         name_of(q.type), name_of(t.type)));
    }
    if (q.shape[0] < 1 || q.shape[1] < 1)
        refuse(names[0],
               fmt::format("expected a batch and heads, but its shape is {}", shape_of(q)));
    if (head_dim < 1 || head_dim > 256)
        refuse(names[0], fmt::format("expected a head_dim from 1 to 256, but it is {}", head_dim));
    if (k.shape[1] < 1 || q.shape[1] % k.shape[1] != 0)
        refuse(names[1], fmt::format("expected key heads that divide the {} query heads, but there "
                                     "are {}",
                                     q.shape[1], k.shape[1]));
    const shape4 expected{q.shape[0], k.shape[1], k.shape[2], head_dim};
    if (k.shape != expected)
        refuse(names[1],
               fmt::format("expected batch {} and head_dim {} as q has, but its shape is {}",
                           q.shape[0], head_dim, shape_of(k)));
    if (v.shape != k.shape)
        refuse(names[2], fmt::format("expected the shape of k, {}, but its shape is {}",
                                     shape_of(k), shape_of(v)));

    const data_type out_type = request.out_type.value_or(q.type);
    if (out_type != q.type && (out_type != data_type::f32 || q.type == data_type::f64))
        reject(fmt::format("--out-dtype: expected {} (the inputs' type){}, but '{}' came",
                           name_of(q.type), bytes_of(q.type) == 2 ? " or f32" : "",
                           name_of(out_type)));
    inputs.problem = {.batch = q.shape[0],
                      .heads = q.shape[1],
                      .kv_heads = k.shape[1],
                      .tokens = q.shape[2],
                      .kv_tokens = k.shape[2],
                      .head_dim = head_dim,
                      .type = q.type,
                      .out_type = out_type,
                      .mask = request.options.mask};
}

void describe_random(const request& request, input_set& inputs) {
    const shape4 q = *request.random;
    shape4 kv = q;
    kv[1] = request.kv_heads.value_or(q[1]);
    kv[2] = request.kv_tokens.value_or(q[2]);
    for (std::size_t i = 0; i < 3; ++i) {
        tensor& t = inputs.tensors[i];
        t.type = request.type.value_or(data_type::f32);
        t.shape = i == 0 ? q : kv;
        if (!files::array_bytes(t.type, t.shape))
            reject("--random: the shape " + files::text_of(t.shape) + " overflows");
        t.strides = files::tensor_strides(t.shape, request.order);
    }
}

/// Bytes of one of the tensors q, k, v. Known not to overflow.
std::int64_t bytes_of_tensor(const tensor& t) {
    return files::array_bytes(t.type, t.shape).value();
}

std::int64_t out_bytes(const problem& p) {
    return files::array_bytes(p.out_type, shape4{p.batch, p.heads, p.tokens, p.head_dim}).value();
}

std::int64_t lse_bytes(const problem& p) {
    return files::array_bytes(state_type(p.type), shape4{p.batch, p.heads, p.tokens, 1}).value();
}

bool needs_lse(const request& request) {
    return !request.lse.empty() || request.verify_rows;
}

} // namespace

input_set open_inputs(const request& request) {
    input_set inputs;
    constexpr std::array names{"q", "k", "v"};
    if (request.random) {
        describe_random(request, inputs);
    } else {
        if (!request.input.empty())
            inputs.sources = files::open_safetensors(request.input, {"q", "k", "v"});
        else
            for (std::size_t i = 0; i < 3; ++i)
                inputs.sources[i] = files::open_npy(request.arrays[i], names[i]);
        inputs.rank = inputs.sources[0].layout.shape.size();
        for (std::size_t i = 0; i < 3; ++i) {
            const auto& source = inputs.sources[i];
            inputs.tensors[i] = files::view_of(source, request.order, request.type);
            if (source.layout.shape.size() != inputs.rank)
                files::bad_input(source.operand,
                                 fmt::format("expected {} axes as q has, but its shape is {}",
                                             inputs.rank, files::text_of(source.layout.shape)));
        }
    }
    set_problem(request, inputs);
    return inputs;
}

void make_random(input_set& inputs, std::uint64_t seed) {
    for (std::size_t i = 0; i < 3; ++i) {
        tensor& t = inputs.tensors[i];
        const std::int64_t bytes = bytes_of_tensor(t);
        inputs.buffers[i] = HostBuffer(bytes);
        files::fill_normal(inputs.buffers[i].data(), t.type, bytes / bytes_of(t.type), seed, i);
        t.data = inputs.buffers[i].data();
    }
}

void read_ahead(const input_set& inputs) {
    std::int64_t room = read_host_memory().available_bytes / 2;
    // Keys and values first: every query reads them.
    for (const std::size_t i : {1, 2, 0}) {
        const files::array_source& source = inputs.sources[i];
        if (!source.file || source.layout.bytes > room) continue;
        room -= source.layout.bytes;
        source.file->will_need(
            source.file->bytes().subspan(static_cast<std::size_t>(source.layout.offset),
                                         static_cast<std::size_t>(source.layout.bytes)));
    }
}

void check_output_names(const request& request, const input_set& inputs) {
    std::vector<std::pair<std::string, std::string>> outputs;
    for (const auto& [option, path] : {std::pair<std::string, std::string>{"--out", request.out},
                                       {"--lse", request.lse},
                                       {"--json", request.json == "-" ? "" : request.json}})
        if (!path.empty()) outputs.emplace_back(option, path);

    if (!request.out.empty())
        files::check_array_name(request.out, "--out", inputs.problem.out_type);
    if (!request.lse.empty())
        files::check_array_name(request.lse, "--lse", state_type(inputs.problem.type));
    for (std::size_t i = 0; i < outputs.size(); ++i) {
        const auto& [option, path] = outputs[i];
        for (std::size_t j = 0; j < i; ++j)
            if (files::same_output(path, outputs[j].second))
                reject(fmt::format("{} {}: this is the same file as {}", option,
                                   files::printable(path), outputs[j].first));
        for (const auto& source : inputs.sources)
            if (source.file && files::identity_of(path) == source.file->identity())
                reject(fmt::format("{} {}: this is the same file as the input {}", option,
                                   files::printable(path), source.operand));
    }
}

void check_host_memory(const request& request, const input_set& inputs) {
    std::int64_t bytes = 0;
    const auto add = [&](std::int64_t more) {
        if (__builtin_add_overflow(bytes, more, &bytes))
            bytes = std::numeric_limits<std::int64_t>::max();
    };
    if (request.random)
        for (const tensor& t : inputs.tensors)
            add(bytes_of_tensor(t));
    if (request.out.empty()) add(out_bytes(inputs.problem));
    if (request.lse.empty() && needs_lse(request)) add(lse_bytes(inputs.problem));
    const std::int64_t available = read_host_memory().available_bytes;
    if (bytes > available)
        throw Error(error_code::does_not_fit,
                    fmt::format("the arrays that are not in files take {} of main memory, but {} "
                                "are available",
                                bytes_for_people(bytes), bytes_for_people(available)));
}

OutputSet::OutputSet(const request& request, const input_set& inputs) {
    const problem& p = inputs.problem;
    out_.type = p.out_type;
    out_.shape = {p.batch, p.heads, p.tokens, p.head_dim};
    out_.strides = files::tensor_strides(out_.shape, request.order);
    lse_.type = state_type(p.type);
    lse_.shape = {p.batch, p.heads, p.tokens, 1};
    lse_.strides = files::tensor_strides(lse_.shape, files::axis_order::bhnd);

    const auto take_file = [&](files::array_sink sink) {
        files_.push_back(std::move(sink.file));
        return sink.data;
    };
    const auto take_memory = [&](std::int64_t bytes) {
        buffers_.emplace_back(bytes);
        return buffers_.back().data();
    };
    out_.data = request.out.empty()
                    ? take_memory(out_bytes(p))
                    : take_file(files::create_array(
                          request.out, "--out", "o", p.out_type,
                          files::file_shape(out_.shape, request.order, inputs.rank)));
    if (!request.lse.empty()) {
        // [batch, heads, tokens]: the axes of a bhnd file but the last, in either layout.
        std::vector<std::int64_t> shape =
            files::file_shape(lse_.shape, files::axis_order::bhnd, inputs.rank);
        shape.pop_back();
        lse_.data = take_file(files::create_array(request.lse, "--lse", "lse", lse_.type, shape));
    } else if (needs_lse(request)) {
        lse_.data = take_memory(lse_bytes(p));
    }
}

void OutputSet::commit() {
    for (files::OutputFile& file : files_)
        file.sync();
    for (files::OutputFile& file : files_)
        file.commit();
}

} // namespace cqsa::tool
