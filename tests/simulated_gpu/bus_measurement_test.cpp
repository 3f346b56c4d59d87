// SPDX-License-Identifier: Apache-2.0
// What a program has on its GPU outlasts the start of StarPU, even where StarPU measures the bus,
// which resets the devices.
#include "runtime/environment.hpp"
#include "runtime/session.hpp"
#include "tests/runtime/attention_case.hpp"
#include "tests/simulated_gpu/simulated_gpu.hpp"

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

namespace cqsa::test {
namespace {

cudaMemoryType type_of(const void* address) {
    cudaPointerAttributes attributes{};
    cudaPointerGetAttributes(&attributes, address);
    return attributes.type;
}

// A program with page-locked and device memory on a machine where StarPU never ran.
class BusMeasurement : public ::testing::Test {
  protected:
    BusMeasurement() {
        simulated::current().gpus = 1;
        std::string home = testing::TempDir() + "cqsa_bus_XXXXXX";
        home_ = mkdtemp(home.data());
        environment_.set("STARPU_HOME", home_);
        environment_.set("XDG_CACHE_HOME", home_);
        cudaHostRegister(array_.data(), array_.size(), cudaHostRegisterPortable);
        cudaMalloc(&on_gpu_, array_.size());
    }
    ~BusMeasurement() override {
        cudaFree(on_gpu_);
        cudaHostUnregister(array_.data());
        std::filesystem::remove_all(home_);
        simulated::current() = before_;
    }

    // The warning of an attention in a StarPU started for it.
    static std::string start_and_attend(worker_set workers = worker_set::cuda) {
        attention_case x({.tokens = 200, .kv_tokens = 200, .head_dim = 64});
        attend_options options;
        options.workers = workers;
        return x.run(options).warning;
    }

    [[nodiscard]] bool has_all() const {
        return type_of(array_.data()) == cudaMemoryTypeHost &&
               type_of(on_gpu_) == cudaMemoryTypeDevice;
    }

    void set(const std::string& variable, const std::string& value) {
        environment_.set(variable, value);
    }

  private:
    ScopedEnvironment environment_;
    simulated::settings before_ = simulated::current();
    std::string home_;
    std::vector<char> array_ = std::vector<char>(1 << 20);
    void* on_gpu_ = nullptr;
};

TEST_F(BusMeasurement, TakesNothingFromTheProgram) {
    EXPECT_EQ(start_and_attend(), "");
    EXPECT_TRUE(has_all());
}

TEST_F(BusMeasurement, TakesNothingWhereTheGpuIsNotUsed) {
    EXPECT_EQ(start_and_attend(worker_set::cpu), "");
    EXPECT_TRUE(has_all());
}

TEST_F(BusMeasurement, TakesNothingWhereGpusWereAdded) {
    EXPECT_EQ(start_and_attend(), "");
    simulated::current().gpus = 2;
    set("CQSA_SIMULATED_GPU", "gpus=2");
    EXPECT_EQ(start_and_attend(), "");
    EXPECT_TRUE(has_all());
}

TEST_F(BusMeasurement, TakesNothingWhereItIsAskedFor) {
    EXPECT_EQ(start_and_attend(), "");
    set("STARPU_BUS_CALIBRATE", "1");
    EXPECT_EQ(start_and_attend(), "");
    EXPECT_TRUE(has_all());
}

TEST_F(BusMeasurement, IsLeftToStarpuWhereItFails) {
    set("CQSA_SIMULATED_GPU", "gpus=0"); // what its program sees
    EXPECT_NE(start_and_attend().find("starpu_calibrate_bus failed: StarPU measures the bus"),
              std::string::npos);
    EXPECT_FALSE(has_all());
    EXPECT_EQ(start_and_attend(), "");
}

} // namespace
} // namespace cqsa::test
