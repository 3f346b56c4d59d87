// SPDX-License-Identifier: Apache-2.0
#include "runtime/tool/help.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>

namespace cqsa::tool {
namespace {

constexpr std::array attention_table{
    option_text{
        "Input", "--q, --k, --v", "FILE", "queries, keys, values in .npy files",
        "Three NumPy files (versions 1 to 3) in C order, little-endian: f2, f4 or f8, all of one "
        "type, or bfloat16 as ml_dtypes saves it with --dtype bf16. Queries are [batch, heads, "
        "tokens, head_dim]; keys and values may have fewer heads (a divisor, grouped queries) and "
        "another number of tokens. Arrays of three axes are of batch 1, those of two axes of batch "
        "1 and one head. Files are mapped, never read whole, so they may exceed the memory."},
    option_text{"Input", "--input", "FILE", "one .safetensors file with tensors q, k and v",
                "The same from one file, of type F16, BF16, F32 or F64. Other tensors in the file "
                "are ignored."},
    option_text{
        "Input", "--random", "B,H,N,D", "normal random tensors instead of files",
        "Batch, heads, tokens and head_dim of standard normal q, k and v, made in memory. Suffixes "
        "as in 64Ki or 1M and forms as in 1e6 are read. An element depends on the seed, the tensor "
        "and its place alone (Philox4x32-10 and Box-Muller): never on threads or the machine, and "
        "on the type only by rounding."},
    option_text{"Input", "--seed", "S", "seed of --random (default 0)",
                "Any unsigned 64-bit integer."},
    option_text{"Input", "--kv-heads", "H", "heads of random keys and values (default: as q)",
                "A divisor of the number of query heads: query head h reads key head "
                "h / (heads / kv-heads)."},
    option_text{"Input", "--kv-tokens", "N", "tokens of random keys and values (default: as q)",
                "Any number, also more or fewer than the queries."},
    option_text{"Input", "--dtype", "TYPE", "f32, f16, bf16 or f64 (default of --random: f32)",
                "The type of --random. With files it is a check, not a conversion, and it says "
                "that the two-byte elements of a .npy file are bf16."},
    option_text{"Input", "--layout", "ORDER", "axes of all files: bhnd (default) or bnhd",
                "bhnd is [batch, heads, tokens, head_dim], PyTorch's order; bnhd is [batch, "
                "tokens, heads, head_dim], FlashAttention's. It holds for --out too."},
    option_text{"Output", "--out", "FILE", "the attention, as .npy or .safetensors (tensor o)",
                "Has the shape of q. It is written beside the name and renamed when complete and "
                "verified: a file that exists survives any failure. Without it the result is "
                "computed, checked and measured, but not kept."},
    option_text{
        "Output", "--lse", "FILE", "log-sum-exp of each row (tensor lse)",
        "m + ln Σ exp(s - m) of the scaled scores, natural logarithm, [batch, heads, "
        "tokens] in either layout, f32 (f64 for f64 inputs). -inf where a row sees no key."},
    option_text{"Output", "--out-dtype", "TYPE", "type of --out: the input's (default) or f32",
                "f32 spares the last rounding of 16-bit inputs, and is how a .npy file can hold a "
                "result of bf16."},
    option_text{"Attention", "--causal", "", "a query sees no later keys",
                "Key t is visible to query r when t <= r."},
    option_text{
        "Attention", "--causal-align", "CORNER",
        "for unequal lengths: top-left (default), bottom-right",
        "bottom-right: key t is visible to query r when t <= r + kv-tokens - tokens, so the "
        "last query sees every key (FlashAttention); top-left is PyTorch's is_causal."},
    option_text{"Attention", "--scale", "X", "factor of the scores (default 1/sqrt(head_dim))",
                "Any finite number. Scaled scores should stay below 1e7 (f64: 1e15): beyond, their "
                "rounding shows, and results may be NaN."},
    option_text{
        "Plan", "--device-memory", "SIZE", "use at most this on each GPU: 512MiB, 4GiB",
        "Everything but the CUDA context, whose size is reported beside it. Sizes are bytes "
        "with an optional suffix: k, M, G, T are powers of 1000, Ki, Mi, Gi, Ti of 1024. "
        "Default: what is free. A budget that no plan fits is refused before anything is "
        "computed, with the number of bytes missing. The result is exact at any budget."},
    option_text{"Plan", "--host-memory", "SIZE",
                "use at most this of main memory beside the arrays",
                "Arrays from mapped files and those of --random do not count."},
    option_text{
        "Plan", "--chunks", "C", "chunks of CQS Divide (default: chosen)",
        "The sequence is cut into C chunks, and C quorums of about sqrt(C) chunks own every "
        "pair of chunks once. Numbers q*q+q+1 for a prime power q (3, 7, 13, 21, 31, 57, "
        "73, ...) divide best."},
    option_text{"Plan", "--depth", "L", "levels of division (default: chosen)",
                "A quorum's subsequence can be divided again. At equal memory more chunks at depth "
                "1 move fewer bytes."},
    option_text{
        "Plan", "--order", "ORDER", "quorum or query: which tasks run together",
        "quorum: a quorum's tasks together, independent of others; query: all tasks of some "
        "queries together, whose state then never leaves the device. Default: what the "
        "model of time and bytes finds faster."},
    option_text{"Plan", "--workers", "KIND", "cpu, cuda or all (default: all)",
                "Which processors compute."},
    option_text{"Run", "--verify", "ROWS", "check so many rows in float64, exit 6 if wrong",
                "Recomputes ROWS sampled rows of the result from the inputs in float64. The run "
                "fails when the error is more than rounding explains, given the type, the head_dim "
                "and the size of the scores; the bound is printed beside the error."},
    option_text{"Run", "--trace", "DIR", "record a StarPU trace (FxT) in this folder",
                "For starpu_fxt_tool, ViTE and StarVZ. Needs a StarPU built with FxT."},
    option_text{"Run", "--json", "FILE", "the report as JSON, - for stdout",
                "One object with schema, version, problem, plan, predicted, and after a run "
                "measured, verify and workers."},
    option_text{"Run", "-q, --quiet", "", "no progress and no summary; errors only",
                "Exit codes say the rest."},
    option_text{"Run", "-v, --verbose", "", "more detail; progress without a terminal too",
                "Also what each worker did."},
};

constexpr std::array calibration_table{
    option_text{"What", "--dtype", "TYPES", "of f32, f16, bf16, f64, with commas (default: bf16)",
                "Types that were measured before stay stored. A type that is not measured is "
                "planned with assumed rates."},
    option_text{"What", "--head-dim", "D,...", "from 1 to 256, with commas (default: 64,128)",
                "Others are planned with the rates of the nearest one."},
    option_text{"What", "--workers", "KIND", "cpu, cuda or all (default: all)",
                "Which processors are measured: each kind alone."},
    option_text{"What", "--device-memory", "SIZE", "use at most this on each GPU: 512MiB, 4GiB",
                "Default: what is free."},
    option_text{"Run", "--json", "FILE", "the rates as JSON, - for stdout",
                "One object with schema, version and processors: for each its name, the file "
                "that holds its rates, and the rates of each type and head_dim."},
    option_text{"Run", "-q, --quiet", "", "no progress; errors and rates only",
                "Exit codes say the rest."},
};

constexpr std::array doctor_table{
    option_text{"Run", "--json", "FILE", "the report as JSON, - for stdout",
                "The same facts for programs."},
};

constexpr std::string_view help_line = "  -h, --help               this page; --help-all tells "
                                       "all of every option\n";

struct page {
    std::string_view usage;
    std::string_view summary;
    std::span<const option_text> options;
    std::string_view examples;
};

constexpr page attend_page{
    "cqsa attend (--q F --k F --v F | --input F | --random B,H,N,D) [options]",
    "Computes exact attention, softmax(scale * Q K^T + mask) V, of sequences of any\nlength within "
    "the memory it is given.",
    attention_table,
    "  cqsa attend --random 1,8,65536,64 --dtype bf16 --causal --verify 64\n"
    "  cqsa attend --q q.npy --k k.npy --v v.npy --out o.npy --device-memory 2GiB\n"};

constexpr page plan_page{
    "cqsa plan (--q F --k F --v F | --input F | --random B,H,N,D) [options]",
    "Shows how `cqsa attend` with the same options would divide the work, and what\nit would cost. "
    "Computes nothing; of files it reads the headers only.",
    attention_table,
    "  cqsa plan --random 1,8,1M,64 --dtype bf16 --causal --device-memory 512MiB\n"
    "  cqsa plan --input qkv.safetensors --json -\n"};

constexpr page calibrate_page{
    "cqsa calibrate [options]",
    "Measures what this machine's processors achieve, a few seconds for each type and\nhead_dim, "
    "and stores it for the plans of `cqsa attend` and `cqsa plan`, whose\npredicted times are then "
    "this machine's. Let nothing else compute meanwhile.",
    calibration_table,
    "  cqsa calibrate\n"
    "  cqsa calibrate --dtype bf16,f32 --head-dim 64 --workers cpu\n"};

constexpr page doctor_page{
    "cqsa doctor [options]",
    "Says what this machine and this build offer, what is missing and how to get it.", doctor_table,
    "  cqsa doctor\n"};

const page& page_of(command command) {
    switch (command) {
    case command::attend:
        return attend_page;
    case command::plan:
        return plan_page;
    case command::calibrate:
        return calibrate_page;
    case command::doctor:
        break;
    }
    return doctor_page;
}

std::string wrapped(std::string_view text, std::size_t indent, std::size_t width) {
    std::string out;
    while (!text.empty()) {
        std::size_t end = text.size();
        if (end > width - indent) end = text.rfind(' ', width - indent);
        out += std::string(indent, ' ') + std::string(text.substr(0, end)) + '\n';
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return out;
}

constexpr std::string_view exit_codes = R"(
Exit codes
  0 done   1 failure   2 usage   3 bad input   4 does not fit the memory
  5 device or runtime failed   6 verification failed
  129, 130, 143 stopped by SIGHUP, SIGINT, SIGTERM; outputs stay as they were

Environment
  STARPU_* variables are honoured (STARPU_SCHED, STARPU_NCPU,
  STARPU_LIMIT_CUDA_MEM, ...); an option goes before them.
  CQSA_CPU_ISA=portable, avx2, avx512, avx512bf16 or amx holds the processor's
  kernels to these instructions.
)";

} // namespace

std::span<const option_text> attention_options() {
    return attention_table;
}

std::span<const option_text> calibration_options() {
    return calibration_table;
}

std::span<const option_text> doctor_options() {
    return doctor_table;
}

std::string program_help() {
    return R"(usage: cqsa COMMAND [options]
Exact attention for sequences larger than the memory of the device.

Commands
  attend      compute the attention of files or random tensors
  plan        show how attend would divide the work, and what it would cost
  calibrate   measure this machine, so that predicted times are its own
  doctor      show what this machine and this build offer

  cqsa COMMAND --help shows a command's options; cqsa --version the version.

Examples
  Compute 65536 random tokens and check 64 rows in float64:
    cqsa attend --random 1,8,65536,64 --dtype bf16 --causal --verify 64
  Compute from files, within 2 GiB of GPU memory:
    cqsa attend --q q.npy --k k.npy --v v.npy --out o.npy --device-memory 2GiB
  See what a million tokens would take:
    cqsa plan --random 1,8,1M,64 --dtype bf16 --causal --device-memory 512MiB
)";
}

std::string help_of(command command) {
    const page& page = page_of(command);
    std::string out = fmt::format("usage: {}\n{}\n", page.usage, page.summary);
    std::string_view group;
    for (const option_text& option : page.options) {
        if (option.group != group) out += fmt::format("{}\n", group = option.group);
        out += fmt::format("  {:<24} {}\n", fmt::format("{} {}", option.names, option.argument),
                           option.summary);
    }
    out += help_line;
    return out + "Examples\n" + std::string(page.examples);
}

std::string manual_of(command command) {
    const page& page = page_of(command);
    std::string out = fmt::format("usage: {}\n{}\n", page.usage, page.summary);
    std::string_view group;
    for (const option_text& option : page.options) {
        if (option.group != group) out += fmt::format("\n{}\n", group = option.group);
        out += fmt::format("  {}{}{}\n", option.names, option.argument.empty() ? "" : " ",
                           option.argument);
        out += wrapped(fmt::format("{}.", option.summary), 6, 80);
        out += wrapped(option.details, 6, 80);
    }
    return out + "\nExamples\n" + std::string(page.examples) + std::string(exit_codes);
}

} // namespace cqsa::tool
