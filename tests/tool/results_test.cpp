// SPDX-License-Identifier: Apache-2.0
// Good invocations of the built tool, from files to files.
#include "codelets/element.hpp"
#include "process.hpp"
#include "runtime/files/array_file.hpp"
#include "runtime/files/random_array.hpp"
#include "tests/files/temporary_folder.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace cqsa::test {
namespace {

using nlohmann::json;
using shape_type = std::vector<std::int64_t>;

/// The attention of row (h, r) of mapped arrays of batch 1, in float64.
struct exact_row {
    std::vector<double> out;
    double lse;
};

exact_row attend_row(const std::array<tensor, 3>& qkv, std::int64_t h, std::int64_t r,
                     std::int64_t visible) {
    const auto& [q, k, v] = qkv;
    const std::int64_t d = q.shape[3];
    const std::int64_t kv_head = h / (q.shape[1] / k.shape[1]);
    const auto at = [&](const tensor& t, std::int64_t head, std::int64_t n, std::int64_t x) {
        return read_element(t.type, t.data, head * t.strides[1] + n * t.strides[2] + x);
    };
    std::vector<double> scores;
    for (std::int64_t j = 0; j < visible; ++j) {
        double dot = 0;
        for (std::int64_t x = 0; x < d; ++x)
            dot += at(q, h, r, x) * at(k, kv_head, j, x);
        scores.push_back(dot / std::sqrt(static_cast<double>(d)));
    }
    const double m = *std::ranges::max_element(scores);
    double sum = 0;
    exact_row row{std::vector<double>(static_cast<std::size_t>(d), 0), 0};
    for (std::int64_t j = 0; j < visible; ++j) {
        const double weight = std::exp(scores[j] - m);
        sum += weight;
        for (std::int64_t x = 0; x < d; ++x)
            row.out[x] += weight * at(v, kv_head, j, x);
    }
    for (double& x : row.out)
        x /= sum;
    row.lse = m + std::log(sum);
    return row;
}

TEST(results, files_become_attention) {
    const TemporaryFolder folder;
    const std::array<std::string, 3> names{"q", "k", "v"};
    for (std::size_t i = 0; i < 3; ++i) {
        // bnhd without a batch axis; two query heads read each key head.
        const shape_type shape = i == 0 ? shape_type{300, 4, 24} : shape_type{411, 2, 24};
        files::array_sink sink = files::create_array(folder.file(names[i] + ".npy"), "--out",
                                                     names[i], data_type::f32, shape);
        files::fill_normal(sink.data, data_type::f32, shape[0] * shape[1] * shape[2], 5, i);
        sink.file.commit();
    }

    const process_result result = run_tool(
        {"attend", "--q", folder.file("q.npy"), "--k", folder.file("k.npy"), "--v",
         folder.file("v.npy"), "--layout", "bnhd", "--causal", "--causal-align", "bottom-right",
         "--out", folder.file("o.npy"), "--lse", folder.file("lse.npy"), "-q"});
    ASSERT_EQ(result.code, 0) << result.err;

    std::array<files::array_source, 5> sources;
    const std::array<std::string, 5> all{"q", "k", "v", "o", "lse"};
    for (std::size_t i = 0; i < 5; ++i)
        sources[i] = files::open_npy(folder.file(all[i] + ".npy"), all[i]);
    std::array<tensor, 4> views;
    for (std::size_t i = 0; i < 4; ++i)
        views[i] = files::view_of(sources[i], files::axis_order::bnhd);
    EXPECT_EQ(sources[3].layout.shape, (shape_type{300, 4, 24}));
    EXPECT_EQ(sources[4].layout.shape, (shape_type{4, 300}));
    const auto* out = static_cast<const float*>(views[3].data);
    const auto* lse =
        reinterpret_cast<const float*>(sources[4].file->bytes().data() + sources[4].layout.offset);
    double error = 0;
    double norm = 0;
    for (std::int64_t h = 0; h < 4; ++h)
        for (std::int64_t r = 0; r < 300; ++r) {
            const exact_row exact =
                attend_row({views[0], views[1], views[2]}, h, r, r + 1 + 411 - 300);
            for (std::int64_t x = 0; x < 24; ++x) {
                const double came = out[r * 4 * 24 + h * 24 + x];
                error += (came - exact.out[x]) * (came - exact.out[x]);
                norm += exact.out[x] * exact.out[x];
            }
            EXPECT_NEAR(lse[h * 300 + r], exact.lse, 2e-6 * std::max(1.0, std::abs(exact.lse)));
        }
    EXPECT_LE(std::sqrt(error / norm), 1e-6);
    EXPECT_EQ(folder.names().size(), 5U);
    EXPECT_EQ(result.err, "");
}

TEST(results, every_type_is_verified) {
    for (const std::string type : {"f32", "f16", "bf16", "f64"}) {
        const process_result result = run_tool(words(
            "attend --random 1,2,1500,40 --kv-heads 1 --kv-tokens 1111 --verify 100 --dtype " +
            type));

        EXPECT_EQ(result.code, 0) << result.err;
        EXPECT_EQ(result.out, "");
        EXPECT_NE(result.err.find("100 rows in float64"), std::string::npos) << result.err;
    }
}

TEST(results, rows_without_keys_are_zero_and_verified) {
    const TemporaryFolder folder;

    const process_result result = run_tool({"attend", "--random", "1,1,64,8", "--kv-tokens", "10",
                                            "--causal", "--causal-align", "bottom-right",
                                            "--verify", "64", "--out", folder.file("o.npy"), "-q"});

    EXPECT_EQ(result.code, 0) << result.err;
    const files::array_source source = files::open_npy(folder.file("o.npy"), "o");
    const auto* out =
        static_cast<const float*>(files::view_of(source, files::axis_order::bhnd).data);
    EXPECT_TRUE(std::all_of(out, out + std::ptrdiff_t{54} * 8, [](float x) { return x == 0; }));
    EXPECT_TRUE(std::any_of(out + std::ptrdiff_t{54} * 8, out + std::ptrdiff_t{64} * 8,
                            [](float x) { return x != 0; }));
}

TEST(results, bf16_goes_through_safetensors) {
    const TemporaryFolder folder;
    const process_result first = run_tool({"attend", "--random", "1,2,100,16", "--dtype", "bf16",
                                           "--out", folder.file("o.safetensors"), "-q"});
    ASSERT_EQ(first.code, 0) << first.err;
    const process_result second =
        run_tool({"attend", "--random", "1,2,100,16", "--dtype", "bf16", "--out-dtype", "f32",
                  "--out", folder.file("o.npy"), "-q"});
    ASSERT_EQ(second.code, 0) << second.err;

    const auto kept = files::open_safetensors(folder.file("o.safetensors"), {"o", "o", "o"})[0];
    const auto wide = files::open_npy(folder.file("o.npy"), "o");
    const tensor narrow = files::view_of(kept, files::axis_order::bhnd);
    const tensor exact = files::view_of(wide, files::axis_order::bhnd);

    EXPECT_EQ(narrow.type, data_type::bf16);
    for (std::int64_t i = 0; i < std::int64_t{2} * 100 * 16; ++i)
        EXPECT_EQ(read_element(narrow.type, narrow.data, i),
                  to_double(to_bfloat16(static_cast<const float*>(exact.data)[i])));
}

TEST(results, json_has_the_promised_names) {
    const TemporaryFolder folder;
    const std::string line = " --random 1,2,500,16 --dtype f16 --causal --json ";
    const process_result run = run_tool(words("attend --verify 3" + line + folder.file("r.json")));
    const process_result planned = run_tool(words("plan" + line + "-"));
    ASSERT_EQ(run.code, 0) << run.err;
    ASSERT_EQ(planned.code, 0) << planned.err;

    const json report = json::parse(read_file(folder.file("r.json")));
    const json plan = json::parse(planned.out);

    EXPECT_EQ(run.out, "");
    for (const json& object : {report, plan}) {
        EXPECT_EQ(object.at("schema"), 1);
        EXPECT_TRUE(object.at("version").is_string());
        const json& problem = object.at("problem");
        EXPECT_EQ(problem.at("batch"), 1);
        EXPECT_EQ(problem.at("heads"), 2);
        EXPECT_EQ(problem.at("kv_heads"), 2);
        EXPECT_EQ(problem.at("tokens"), 500);
        EXPECT_EQ(problem.at("kv_tokens"), 500);
        EXPECT_EQ(problem.at("head_dim"), 16);
        EXPECT_EQ(problem.at("dtype"), "f16");
        EXPECT_EQ(problem.at("causal"), "top-left");
        for (const char* name : {"chunks", "quorum_size", "depth", "block_tokens", "strip_tokens",
                                 "segment_tokens", "tasks", "merges"})
            EXPECT_TRUE(object.at("plan").at(name).is_number_integer()) << name;
        EXPECT_TRUE(object.at("plan").at("order").is_string());
        for (const char* name :
             {"seconds", "device_bytes", "host_bytes", "flops", "h2d_bytes", "d2h_bytes"})
            EXPECT_TRUE(object.at("predicted").at(name).is_number()) << name;
    }
    EXPECT_GT(report.at("measured").at("seconds"), 0);
    EXPECT_TRUE(report.at("measured").at("context_bytes").is_number_integer());
    EXPECT_TRUE(report.at("warning").is_null());
    EXPECT_EQ(report.at("verify").at("rows"), 3);
    for (const char* name : {"max_abs_error", "rel_error", "lse_max_abs_error"})
        EXPECT_TRUE(report.at("verify").at(name).is_number()) << name;
    EXPECT_GE(report.at("workers").size(), 1U);
    EXPECT_FALSE(plan.contains("measured"));
}

TEST(results, plan_needs_no_data_and_no_memory) {
    const process_result huge =
        run_tool(words("plan --random 1,8,1e9,64 --dtype bf16 --causal --out x.safetensors"));

    EXPECT_EQ(huge.code, 0) << huge.err;
    EXPECT_NE(huge.out.find("1 000 000 000"), std::string::npos) << huge.out;
    EXPECT_FALSE(std::filesystem::exists("x.safetensors"));
}

TEST(results, doctor_describes_the_machine) {
    const process_result text = run_tool({"doctor"});
    const process_result object = run_tool({"doctor", "--json", "-"});

    EXPECT_EQ(text.code, 0) << text.err;
    EXPECT_NE(text.out.find("memory"), std::string::npos);
    EXPECT_GE(json::parse(object.out).at("cores"), 1);
}

} // namespace
} // namespace cqsa::test
