// SPDX-License-Identifier: Apache-2.0
#include "runtime/calibrate.hpp"

#include "runtime/stored_rates.hpp"
#include "tests/files/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

namespace cqsa::test {
namespace {

calibrate_options quick() {
    calibrate_options options;
    options.types = {data_type::f32};
    options.head_dims = {16};
    options.workers = worker_set::cpu;
    options.cpu_threads = 1;
    options.seconds = 0.05;
    return options;
}

TEST(Calibrate, StoresNothingWhereItIsNotTo) {
    const TemporaryFolder folder;
    setenv("XDG_CACHE_HOME", folder.path().c_str(), 1);
    calibrate_options options = quick();
    options.store = false;

    const auto measured = calibrate(options);
    unsetenv("XDG_CACHE_HOME");

    EXPECT_FALSE(std::filesystem::exists(folder.file("cqsa"))); // StarPU keeps its own there
    ASSERT_EQ(measured.size(), 1U);
    EXPECT_EQ(measured[0].processor, cpu_identity());
    EXPECT_EQ(measured[0].path, "");
    ASSERT_EQ(measured[0].rates.size(), 1U);
    const measured_rates& one = measured[0].rates[0];
    EXPECT_EQ(one.type, data_type::f32);
    EXPECT_EQ(one.head_dim, 16);
    EXPECT_EQ(one.threads, 1);
    EXPECT_GT(one.rates.attend_flops_per_second, 1e7);
    EXPECT_LT(one.rates.attend_flops_per_second, 1e13);
    EXPECT_GT(one.rates.merge_bytes_per_second, 0);
    EXPECT_GT(one.rates.task_seconds, 0);
    EXPECT_GT(one.rates.touch_bytes_per_second, 1e7);
}

TEST(Calibrate, StoresNothingWhenItIsStopped) {
    const TemporaryFolder folder;
    setenv("XDG_CACHE_HOME", folder.path().c_str(), 1);
    calibrate_options options = quick();
    options.seconds = 60;
    options.stop_requested = [] { return true; };
    try {
        calibrate(options);
        ADD_FAILURE() << "no error";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), error_code::stopped) << error.what();
    }
    unsetenv("XDG_CACHE_HOME");
    EXPECT_FALSE(std::filesystem::exists(folder.file("cqsa")));
}

TEST(Calibrate, RefusesOptionsThatMakeNoSense) {
    const auto refuses = [](auto change) {
        calibrate_options options = quick();
        change(options);
        try {
            calibrate(options);
        } catch (const Error& error) {
            return error.code() == error_code::usage;
        }
        return false;
    };
    EXPECT_TRUE(refuses([](auto& options) { options.types.clear(); }));
    EXPECT_TRUE(refuses([](auto& options) { options.head_dims.clear(); }));
    EXPECT_TRUE(refuses([](auto& options) { options.head_dims = {64, 0}; }));
    EXPECT_TRUE(refuses([](auto& options) { options.seconds = 0; }));
}

} // namespace
} // namespace cqsa::test
