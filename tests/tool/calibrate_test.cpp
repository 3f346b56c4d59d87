// SPDX-License-Identifier: Apache-2.0
#include "process.hpp"
#include "tests/files/temporary_folder.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace cqsa::test {
namespace {

using nlohmann::json;

TEST(calibrate, is_what_plans_and_doctor_go_by) {
    const TemporaryFolder folder;
    const std::vector<std::string> home{"XDG_CACHE_HOME=" + folder.path().string()};
    const std::vector<std::string> plan =
        words("plan --random 1,2,100000,32 --dtype f16 --workers cpu --json -");

    const process_result run =
        run_tool(words("calibrate --dtype f16 --head-dim 32 --workers cpu --json -"), home);
    ASSERT_EQ(run.code, 0) << run.err;
    const json cpu = json::parse(run.out).at("processors").at(0);
    const json rates = cpu.at("rates").at(0);
    const json stored = json::parse(read_file(cpu.at("path"))).at("rates");
    const json read = json::parse(run_tool(words("doctor --json -"), home).out).at("rates").at(0);
    const process_result planned = run_tool(plan, home);
    const process_result assumed = run_tool(words("plan --random 1,1,1000,64"), home);
    const process_result doctor = run_tool({"doctor"}, home);

    EXPECT_EQ(rates.at("dtype"), "f16");
    EXPECT_EQ(rates.at("head_dim"), 32);
    EXPECT_EQ(cpu.at("path"), read.at("path"));
    ASSERT_EQ(stored.size(), 1U);
    EXPECT_EQ(rates.at("attend_flops_per_second"), stored.at(0).at("attend_flops_per_second"));
    const json predicted = json::parse(planned.out).at("predicted");
    EXPECT_EQ(predicted.at("rates"), "measured");
    EXPECT_NE(assumed.out.find("if rates are as assumed (see calibrate)"), std::string::npos)
        << assumed.out;
    const double flops_per_second = rates.at("attend_flops_per_second");
    const double expected = predicted.at("flops").get<double>() / flops_per_second;
    EXPECT_NEAR(predicted.at("seconds").get<double>() / expected, 1, 0.05);
    EXPECT_NE(doctor.out.find("measured for f16 32"), std::string::npos) << doctor.out;
}

TEST(calibrate, a_damaged_file_is_a_sentence_of_doctor) {
    const TemporaryFolder folder;
    const std::vector<std::string> home{"XDG_CACHE_HOME=" + folder.path().string()};
    const process_result before = run_tool(words("doctor --json -"), home);
    const std::string path = json::parse(before.out).at("rates").at(0).at("path");
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    write_file(path, "{\"rates\": [");

    const process_result doctor = run_tool({"doctor"}, home);
    const process_result plan = run_tool(words("plan --random 1,1,1000,64 --workers cpu"), home);

    EXPECT_EQ(doctor.code, 0) << doctor.err;
    EXPECT_NE(doctor.out.find(path + " is ignored: "), std::string::npos) << doctor.out;
    EXPECT_EQ(plan.code, 0) << plan.err;
    EXPECT_EQ(plan.err, "");
}

} // namespace
} // namespace cqsa::test
