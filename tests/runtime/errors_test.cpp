// SPDX-License-Identifier: Apache-2.0
// Bad operands and options: one sentence, the right class, the outputs untouched.
#include "tests/runtime/attention_case.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>

namespace cqsa::test {
namespace {

const problem small{
    .batch = 1, .heads = 4, .kv_heads = 2, .tokens = 50, .kv_tokens = 60, .head_dim = 8};

struct call {
    tensor q, k, v;
    mutable_tensor out, lse;
    attend_options options{.workers = worker_set::cpu};
};

struct bad_call {
    std::string name;
    std::function<void(call&)> spoil;
    error_code code;
    std::string sentence; ///< a part of it
};

class BadCalls : public ::testing::TestWithParam<bad_call> {};

TEST_P(BadCalls, AreRefusedInOneSentence) {
    attention_case given(small);
    call bad{tensor_of(given.q), tensor_of(given.k), tensor_of(given.v),
             mutable_tensor_of(given.out), mutable_tensor_of(given.lse)};
    const std::vector<std::byte> before(given.out.storage().begin(), given.out.storage().end());
    GetParam().spoil(bad);

    try {
        attend(bad.q, bad.k, bad.v, bad.out, bad.lse, bad.options);
        FAIL() << "was accepted";
    } catch (const Error& error) {
        const std::string sentence = error.what();
        EXPECT_EQ(error.code(), GetParam().code) << sentence;
        EXPECT_NE(sentence.find(GetParam().sentence), std::string::npos) << sentence;
        EXPECT_EQ(sentence.find('\n'), std::string::npos);
        EXPECT_NE(sentence.back(), '.'); // the caller says how it ends
    }
    EXPECT_TRUE(std::ranges::equal(before, given.out.storage()));
}

const auto bad_input = error_code::bad_input;

INSTANTIATE_TEST_SUITE_P(
    Errors, BadCalls,
    ::testing::Values(
        bad_call{"null_query", [](call& c) { c.q.data = nullptr; }, bad_input, "q: expected data"},
        bad_call{"negative_extent", [](call& c) { c.k.shape[2] = -1; }, bad_input, "k: extents"},
        bad_call{"huge_shape",
                 [](call& c) {
                     c.v.shape = {1, 1L << 40, 1L << 40, 8};
                 },
                 bad_input, "v: its shape"},
        bad_call{"negative_stride", [](call& c) { c.q.strides[1] = -8; }, bad_input, "q: strides"},
        bad_call{"strided_head_dim", [](call& c) { c.q.strides[3] = 2; }, bad_input,
                 "q: expected head_dim to be contiguous"},
        bad_call{"key_type", [](call& c) { c.k.type = data_type::f16; }, bad_input,
                 "k: expected f32"},
        bad_call{"value_tokens", [](call& c) { c.v.shape[2] = 59; }, bad_input,
                 "v: expected shape [1, 2, 60, 8]"},
        bad_call{"key_head_dim", [](call& c) { c.k.shape[3] = 4; }, bad_input,
                 "k: expected shape [1, 2, 60, 8]"},
        bad_call{"kv_heads", [](call& c) { c.k.shape[1] = c.v.shape[1] = 3; }, bad_input,
                 "divides q's 4"},
        bad_call{"head_dim", [](call& c) { c.q.shape[3] = 257; }, bad_input,
                 "head_dim from 1 to 256"},
        bad_call{"out_shape", [](call& c) { c.out.shape[2] = 49; }, bad_input,
                 "out: expected shape [1, 4, 50, 8]"},
        bad_call{"out_type", [](call& c) { c.out.type = data_type::f16; }, bad_input,
                 "out: expected f32"},
        bad_call{"out_overlaps", [](call& c) { c.out.strides[1] = 8; }, bad_input,
                 "out: its strides"},
        bad_call{"lse_type", [](call& c) { c.lse.type = data_type::f64; }, bad_input,
                 "lse: expected f32"},
        bad_call{"lse_shape", [](call& c) { c.lse.shape[3] = 8; }, bad_input,
                 "lse: expected shape"},
        bad_call{"misaligned",
                 [](call& c) { c.q.data = static_cast<const std::byte*>(c.q.data) + 1; }, bad_input,
                 "q: expected data aligned"},
        bad_call{"scale", [](call& c) { c.options.scale = NAN; }, error_code::usage,
                 "scale: expected a finite"},
        bad_call{"chunks", [](call& c) { c.options.chunks = 0; }, error_code::usage, "chunks"},
        bad_call{"depth", [](call& c) { c.options.depth = 0; }, error_code::usage, "depth"},
        bad_call{"no_host_memory", [](call& c) { c.options.host_bytes = 1; },
                 error_code::does_not_fit, "bytes"}),
    [](const auto& tested) { return tested.param.name; });

void exit_without_gpus() {
    setenv("CUDA_VISIBLE_DEVICES", "", 1);
    try {
        attention_case(small).run({.workers = worker_set::cuda});
    } catch (const Error& error) {
        std::fputs(error.what(), stderr);
        std::exit(static_cast<int>(error.code()));
    }
    std::exit(0);
}

// In a process of its own: in this one another test may have started CUDA, which then sees GPUs.
TEST(Errors, AskingForAGpuWhereThereIsNoneIsSaid) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(exit_without_gpus(), testing::ExitedWithCode(static_cast<int>(error_code::device)),
                "GPU");
}

TEST(Errors, AStopRequestEndsTheRunAndTheNextRunIsWhole) {
    attention_case given({.batch = 1,
                          .heads = 8,
                          .kv_heads = 8,
                          .tokens = 20000,
                          .kv_tokens = 20000,
                          .head_dim = 64});

    try {
        given.run({.workers = worker_set::cpu, .stop_requested = [] { return true; }});
        FAIL() << "was not stopped";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), error_code::stopped);
    }

    attention_case next(small);
    next.run({.workers = worker_set::cpu});
    EXPECT_LE(relative_error(next.out.values(), next.exact().o), 1e-6);
}

} // namespace
} // namespace cqsa::test
