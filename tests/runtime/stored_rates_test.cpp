// SPDX-License-Identifier: Apache-2.0
#include "runtime/stored_rates.hpp"

#include "runtime/doctor.hpp"
#include "tests/files/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace cqsa::test {
namespace {

using cqsa::test::read_file;
using cqsa::test::write_file;

/// A cache folder of its own, as long as the test.
class StoredRates : public ::testing::Test {
  protected:
    StoredRates() { setenv("XDG_CACHE_HOME", folder_.path().c_str(), 1); }
    ~StoredRates() override { unsetenv("XDG_CACHE_HOME"); }

    [[nodiscard]] std::string folder() const { return folder_.file("cqsa/rates"); }

  private:
    cqsa::test::TemporaryFolder folder_;
};

measured_rates cpu_rates(data_type type, std::int64_t head_dim, int threads, double flops) {
    measured_rates one{type, head_dim, threads, {}};
    one.rates.attend_flops_per_second = flops;
    one.rates.merge_bytes_per_second = 5e9;
    one.rates.task_seconds = 3e-5;
    one.rates.touch_bytes_per_second = 1e9;
    return one;
}

measured_rates gpu_rates(double flops) {
    measured_rates one = cpu_rates(data_type::bf16, 64, 0, flops);
    one.rates.h2d_bytes_per_second = 4e10;
    one.rates.d2h_bytes_per_second = 3e10;
    return one;
}

problem problem_of(data_type type, std::int64_t head_dim) {
    return {.tokens = 1'000, .kv_tokens = 1'000, .head_dim = head_dim, .type = type};
}

double flops_for(const std::string& processor, data_type type, std::int64_t head_dim, int threads) {
    rates used;
    used.attend_flops_per_second = 1;
    use_stored_rates(used, processor, problem_of(type, head_dim), threads);
    return used.attend_flops_per_second;
}

TEST_F(StoredRates, AreReadAsTheyWereStored) {
    const std::string path = store_rates("1 x GPU/5", {gpu_rates(1.25e14)});

    const stored_rates read = read_rates("1 x GPU/5");

    EXPECT_EQ(path, folder() + "/1-x-gpu-5.json");
    EXPECT_EQ(read.path, path);
    EXPECT_EQ(read.damage, "");
    ASSERT_EQ(read.rates.size(), 1U);
    EXPECT_EQ(read.rates[0].type, data_type::bf16);
    EXPECT_EQ(read.rates[0].head_dim, 64);
    EXPECT_EQ(read.rates[0].threads, 0);
    const rates& r = read.rates[0].rates;
    EXPECT_EQ(r.attend_flops_per_second, 1.25e14);
    EXPECT_EQ(r.merge_bytes_per_second, 5e9);
    EXPECT_EQ(r.task_seconds, 3e-5);
    EXPECT_EQ(r.h2d_bytes_per_second, 4e10);
    EXPECT_EQ(r.d2h_bytes_per_second, 3e10);
    EXPECT_EQ(r.touch_bytes_per_second, 1e9);
    // Nothing stays beside the file.
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder()), {}), 1);
}

TEST_F(StoredRates, ReplaceThoseOfTheSameSizeOnly) {
    store_rates("cpu",
                {cpu_rates(data_type::f32, 64, 2, 1e11), cpu_rates(data_type::f32, 128, 2, 2e11)});
    store_rates("cpu",
                {cpu_rates(data_type::f32, 64, 2, 3e11), cpu_rates(data_type::bf16, 64, 2, 4e11)});

    EXPECT_EQ(read_rates("cpu").rates.size(), 3U);
    EXPECT_EQ(flops_for("cpu", data_type::f32, 64, 2), 3e11);
    EXPECT_EQ(flops_for("cpu", data_type::f32, 128, 2), 2e11);
    EXPECT_EQ(flops_for("cpu", data_type::bf16, 64, 2), 4e11);
}

TEST_F(StoredRates, OfTheNearestHeadDimAndThreadsAreUsed) {
    store_rates("cpu",
                {cpu_rates(data_type::f32, 64, 2, 1e11), cpu_rates(data_type::f32, 128, 2, 2e11),
                 cpu_rates(data_type::f32, 128, 16, 9e11)});

    EXPECT_EQ(flops_for("cpu", data_type::f32, 40, 2), 1e11);
    EXPECT_EQ(flops_for("cpu", data_type::f32, 100, 2), 2e11);
    EXPECT_EQ(flops_for("cpu", data_type::f32, 256, 4), 4e11);
    EXPECT_EQ(flops_for("cpu", data_type::f32, 128, 8), 4.5e11);
    // Another type, a GPU, another processor: as assumed.
    EXPECT_EQ(flops_for("cpu", data_type::f16, 64, 2), 1);
    EXPECT_EQ(flops_for("cpu", data_type::f32, 64, 0), 1);
    EXPECT_EQ(flops_for("other", data_type::f32, 64, 2), 1);
}

TEST_F(StoredRates, OfADamagedFileAreIgnoredWithASentence) {
    const std::string path = store_rates("cpu", {cpu_rates(data_type::f32, 64, 2, 1e11)});
    const std::string good = read_file(path);
    const auto with = [&](const std::string& from, const std::string& to) {
        std::string text = good;
        const std::size_t at = text.find(from);
        EXPECT_NE(at, std::string::npos) << from;
        return text.replace(at, from.size(), to);
    };
    for (const std::string& bad :
         {std::string(), std::string("{"), std::string("[1, 2]"), good.substr(0, good.size() / 2),
          with("\"f32\"", "\"f31\""), with("\"schema\": 1", "\"schema\": 2"),
          with("\"cpu\"", "\"gpu\""), with("5000000000.0", "0.0"), with("5000000000.0", "-1.0"),
          with("5000000000.0", "1e999"), with("5000000000.0", "null"),
          with("\"head_dim\": 64", "\"head_dim\": \"64\""),
          with("\"threads\": 2", "\"threads\": -2"), std::string(2'000'000, ' ')}) {
        write_file(path, bad);
        const stored_rates read = read_rates("cpu");
        EXPECT_TRUE(read.rates.empty()) << bad;
        EXPECT_NE(read.damage.find("is ignored: "), std::string::npos) << bad;
        EXPECT_EQ(flops_for("cpu", data_type::f32, 64, 2), 1) << bad;
    }
    store_rates("cpu", {cpu_rates(data_type::f32, 64, 2, 2e11)});
    EXPECT_EQ(flops_for("cpu", data_type::f32, 64, 2), 2e11);
}

TEST_F(StoredRates, ThatCannotBeWrittenAreAnError) {
    write_file(std::string(std::getenv("XDG_CACHE_HOME")) + "/cqsa", "a file in the way");
    try {
        store_rates("cpu", {cpu_rates(data_type::f32, 64, 2, 1e11)});
        FAIL() << "no error";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), error_code::failure) << error.what();
    }
    EXPECT_TRUE(read_rates("cpu").rates.empty());
}

TEST_F(StoredRates, ChangeThePredictionInProportion) {
    problem p = problem_of(data_type::bf16, 64);
    p.heads = p.kv_heads = 4;
    p.tokens = p.kv_tokens = 50'000;
    attend_options options;
    options.workers = worker_set::cpu;
    options.cpu_threads = 2;
    measured_rates one = cpu_rates(data_type::bf16, 64, 2, 1e9);
    store_rates(cpu_identity(), {one});

    const cost slow = plan_attention(p, options).predicted;

    EXPECT_NEAR(slow.seconds / (slow.flops / 1e9), 1, 0.01);
    one.rates.attend_flops_per_second = 2e9;
    store_rates(cpu_identity(), {one});
    EXPECT_NEAR(plan_attention(p, options).predicted.seconds / slow.seconds, 0.5, 0.01);
}

TEST_F(StoredRates, AreReportedByDoctor) {
    EXPECT_TRUE(describe_machine().rates.at(0).measured.empty());
    const std::string path = store_rates(cpu_identity(), {cpu_rates(data_type::f32, 64, 2, 1e11)});
    EXPECT_EQ(describe_machine().rates.at(0).measured, std::vector<std::string>{"f32 64"});
    EXPECT_EQ(describe_machine().rates.at(0).path, path);

    write_file(path, "]");

    EXPECT_TRUE(describe_machine().rates.at(0).measured.empty());
    EXPECT_NE(describe_machine().rates.at(0).damage, "");
}

} // namespace
} // namespace cqsa::test
