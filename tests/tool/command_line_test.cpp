// SPDX-License-Identifier: Apache-2.0
#include "runtime/tool/command_line.hpp"
#include "runtime/tool/help.hpp"

#include "process.hpp"
#include "tests/files/expect_error.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

namespace cqsa::tool {
namespace {

using test::expect_error;
using test::words;

request parsed(const std::string& line) {
    return parse(words(line)).request.value();
}

TEST(command_line, every_option_arrives) {
    const request r = parsed(
        "attend --random 2,8,1Ki,64 --kv-heads 2 --kv-tokens 999 --seed 7 --dtype bf16 --layout "
        "bnhd --out o.npy --lse l.npy --out-dtype f32 --causal --causal-align bottom-right --scale "
        "0.5 --device-memory 1GiB --host-memory 2GiB --chunks 13 --depth 2 --order quorum "
        "--workers cpu --verify 5 --trace t --json - -q -v");

    EXPECT_EQ(r.command, command::attend);
    EXPECT_EQ(r.random, (std::array<std::int64_t, 4>{2, 8, 1024, 64}));
    EXPECT_EQ(r.kv_heads, 2);
    EXPECT_EQ(r.kv_tokens, 999);
    EXPECT_EQ(r.seed, 7U);
    EXPECT_EQ(r.type, data_type::bf16);
    EXPECT_EQ(r.order, files::axis_order::bnhd);
    EXPECT_EQ(r.out, "o.npy");
    EXPECT_EQ(r.lse, "l.npy");
    EXPECT_EQ(r.out_type, data_type::f32);
    EXPECT_EQ(r.options.mask, mask_rule::causal_bottom_right);
    EXPECT_EQ(r.options.scale, 0.5);
    EXPECT_EQ(r.options.device_bytes, std::int64_t{1} << 30U);
    EXPECT_EQ(r.options.host_bytes, std::int64_t{2} << 30U);
    EXPECT_EQ(r.options.chunks, 13);
    EXPECT_EQ(r.options.depth, 2);
    EXPECT_EQ(r.options.order, task_order::quorum_major);
    EXPECT_EQ(r.options.workers, worker_set::cpu);
    EXPECT_EQ(r.options.trace_directory, "t");
    EXPECT_EQ(r.verify_rows, 5);
    EXPECT_EQ(r.json, "-");
    EXPECT_TRUE(r.quiet);
    EXPECT_TRUE(r.verbose);
}

TEST(command_line, defaults_leave_the_choice_to_the_planner) {
    const request r = parsed("plan --input x.safetensors");

    EXPECT_EQ(r.command, command::plan);
    EXPECT_EQ(r.input, "x.safetensors");
    EXPECT_EQ(r.options.mask, mask_rule::none);
    EXPECT_FALSE(r.options.chunks || r.options.depth || r.options.order || r.options.scale ||
                 r.options.device_bytes || r.options.host_bytes || r.type || r.out_type);
    EXPECT_EQ(parsed("attend --causal --input=x").options.mask, mask_rule::causal_top_left);
    EXPECT_EQ(parsed("attend --input x --scale -2").options.scale, -2.0);
}

TEST(command_line, mistakes_give_one_sentence) {
    const auto refuse = [](const std::string& line, const std::string& part) {
        expect_error(error_code::usage, [&] { parse(words(line)); }, {part});
    };
    refuse("", "expected a command: attend, plan, calibrate or doctor");
    refuse("atend", "unknown command 'atend' (did you mean attend?)");
    refuse("frobnicate", "unknown command 'frobnicate'");
    refuse("--foo", "unknown option --foo");
    refuse("attend", "expected inputs");
    refuse("attend --random 1,1,1,1 --input x", "from one source");
    refuse("attend --random 1,1,1,1 --q x --k x --v x", "from one source");
    refuse("attend --q x --v x", "all three of --q, --k and --v");
    refuse("attend --input x --kv-heads 2", "--kv-heads goes with --random only");
    refuse("attend --input x --kv-tokens 2", "--kv-tokens goes with --random only");
    refuse("attend --input x --seed 2", "--seed goes with --random only");
    refuse("attend --input x --causal-align bottom-right", "goes with --causal only");
    refuse("attend --input x --causal --causal-align left", "--causal-align: expected one of");
    refuse("attend --input x --causal=yes", "--causal: expected no value");
    refuse("attend --input x --dtype int8", "expected one of f32, f16, bf16, f64, but 'int8' came");
    refuse("attend --input x --dtype F32", "--dtype: expected one of");
    refuse("attend --input x --layout bhdn", "--layout: expected one of bhnd, bnhd");
    refuse("attend --input x --order best", "--order: expected one of quorum, query");
    refuse("attend --input x --workers gpu", "--workers: expected one of cpu, cuda, all");
    refuse("attend --input x --out-dtype x", "--out-dtype: expected one of");
    refuse("attend --input x --chunks 0", "--chunks: expected an integer of at least 1");
    refuse("attend --input x --chunks 1.5", "--chunks: expected an integer");
    refuse("attend --input x --depth 0", "--depth: expected an integer of at least 1");
    refuse("attend --input x --depth 65", "--depth: expected at most 64");
    refuse("attend --input x --verify 0", "--verify: expected an integer of at least 1");
    refuse("attend --input x --verify -4", "--verify: expected an integer of at least 1");
    refuse("attend --input x --scale nan", "--scale: expected a finite number");
    refuse("attend --input x --device-memory 0", "--device-memory: expected a size");
    refuse("attend --input x --device-memory -1GiB", "--device-memory: expected a size");
    refuse("attend --input x --host-memory lots", "--host-memory: expected a size");
    refuse("attend --input x --seed", "--seed: expected a value, but none came");
    refuse("attend --input x --out --lse", "--out: expected a value, but '--lse' came");
    refuse("attend --input x --chunks 3 --chunks 7", "came more than once");
    refuse("attend --input x --verfy 3", "unknown option --verfy (did you mean --verify?)");
    refuse("attend --input x --verfy=3", "unknown option --verfy (did you mean --verify?)");
    refuse("attend --input x --zzzzzzzz", "unknown option --zzzzzzzz");
    refuse("attend --input x -z", "unknown option -z");
    refuse("attend --input x more", "unexpected argument 'more'");
    refuse("attend --input x plan", "unexpected argument 'plan'");
    refuse("doctor --input x", "unknown option --input");
    refuse("calibrate --dtype bf16,f8", "--dtype: expected one of f32, f16, bf16, f64, but 'f8'");
    refuse("calibrate --head-dim 64,", "--head-dim: expected");
    refuse("calibrate --head-dim 257", "--head-dim: expected at most 256, but '257' came");
    refuse("calibrate --random 1,1,1,1", "unknown option --random");
    expect_error(error_code::usage,
                 [] {
                     parse({"attend", "--input", "x", "--out", ""});
                 },
                 {"--out: expected the name of a file"});
    expect_error(error_code::usage,
                 [] {
                     parse({"attend", "--input", "x", "\n\x1b[31m"});
                 },
                 {"unexpected argument '??[31m'"});
}

TEST(command_line, calibrate_takes_lists) {
    const request all = parsed("calibrate");
    const request some =
        parsed("calibrate --dtype f32,bf16 --head-dim 40 --workers cpu --device-memory 1GiB");

    EXPECT_EQ(all.command, command::calibrate);
    EXPECT_EQ(all.calibrated_types, std::vector{data_type::bf16});
    EXPECT_EQ(all.calibrated_head_dims, (std::vector<std::int64_t>{64, 128}));
    EXPECT_EQ(some.calibrated_types, (std::vector{data_type::f32, data_type::bf16}));
    EXPECT_EQ(some.calibrated_head_dims, std::vector<std::int64_t>{40});
    EXPECT_EQ(some.options.workers, worker_set::cpu);
    EXPECT_EQ(some.options.device_bytes, std::int64_t{1} << 30);
}

TEST(command_line, help_fits_a_screen_and_names_every_option) {
    for (const std::string name : {"", "attend", "plan", "calibrate", "doctor"}) {
        const std::string help = parse(words(name + " --help")).text;
        std::istringstream lines(help);
        std::int64_t count = 0;
        for (std::string line; std::getline(lines, line); ++count)
            EXPECT_LE(line.size(), 80U) << line;

        EXPECT_LE(count, 40) << name;
        EXPECT_NE(help.find("Examples"), std::string::npos) << name;
        EXPECT_EQ(help, parse(words(name + " -h")).text);
    }
    std::istringstream manual(manual_of(command::attend));
    for (std::string line; std::getline(manual, line);)
        EXPECT_LE(line.size(), 80U) << line;
    for (const option_text& option : attention_options()) {
        EXPECT_NE(help_of(command::attend).find(option.names), std::string::npos);
        EXPECT_NE(manual_of(command::plan).find(option.names), std::string::npos);
        EXPECT_FALSE(option.details.empty()) << option.names;
    }
}

TEST(command_line, examples_of_the_help_are_accepted) {
    for (const std::string& page :
         {program_help(), help_of(command::attend), help_of(command::plan),
          help_of(command::calibrate), help_of(command::doctor)}) {
        std::istringstream lines(page.substr(page.find("Examples")));
        for (std::string line; std::getline(lines, line);) {
            const std::vector<std::string> all = words(line);
            if (all.empty() || all[0] != "cqsa") continue;
            EXPECT_TRUE(parse({all.begin() + 1, all.end()}).request) << line;
        }
    }
}

TEST(command_line, version_is_printed) {
    EXPECT_EQ(parse({"--version"}).text.substr(0, 5), "cqsa ");
    EXPECT_NE(parse(words("attend --help-all")).text.find("Exit codes"), std::string::npos);
}

} // namespace
} // namespace cqsa::tool
