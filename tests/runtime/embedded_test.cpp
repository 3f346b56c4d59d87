// SPDX-License-Identifier: Apache-2.0
// The library inside a program that runs StarPU itself.
#include "tests/runtime/attention_case.hpp"

#include <starpu.h>

#include <gtest/gtest.h>

namespace cqsa::test {
namespace {

class Embedded : public ::testing::TestWithParam<const char*> {
  protected:
    void SetUp() override {
        starpu_conf conf;
        starpu_conf_init(&conf);
        conf.ncpus = 2;
        conf.ncuda = 0;
        conf.sched_policy_name = GetParam();
        ASSERT_EQ(starpu_init(&conf), 0);
    }
    void TearDown() override { starpu_shutdown(); }
};

void add_one(void* buffers[], void* /*argument*/) {
    ++*reinterpret_cast<int*>(STARPU_VARIABLE_GET_PTR(buffers[0]));
}

starpu_codelet* add_one_codelet() {
    static starpu_codelet codelet = [] {
        starpu_codelet result;
        starpu_codelet_init(&result);
        result.cpu_funcs[0] = add_one;
        result.nbuffers = 1;
        result.modes[0] = STARPU_RW;
        return result;
    }();
    return &codelet;
}

TEST_P(Embedded, RunsBesideTheApplicationsTasksAndDoesNotWaitForThem) {
    int value = 0;
    starpu_data_handle_t handle = nullptr;
    starpu_variable_data_register(&handle, STARPU_MAIN_RAM,
                                  reinterpret_cast<std::uintptr_t>(&value), sizeof value);
    attention_case given(
        {.batch = 1, .heads = 2, .kv_heads = 2, .tokens = 900, .kv_tokens = 900, .head_dim = 32});

    // The application holds its data, so that its task cannot run before attend returns.
    ASSERT_EQ(starpu_data_acquire(handle, STARPU_RW), 0);
    ASSERT_EQ(starpu_task_insert(add_one_codelet(), STARPU_RW, handle, 0), 0);
    const attend_report report = given.run(
        {.workers = worker_set::cpu, .chunks = 7, .flow = state_flow::merged, .block_tokens = 128});
    EXPECT_EQ(value, 0);
    starpu_data_release(handle);
    starpu_task_wait_for_all();
    starpu_data_unregister(handle);

    EXPECT_EQ(value, 1);
    EXPECT_EQ(report.workers.size(), 2U);
    EXPECT_LE(relative_error(given.out.values(), given.exact().o), 1e-6);
}

TEST_P(Embedded, LeavesStarpuRunning) {
    attention_case given(
        {.batch = 1, .heads = 1, .kv_heads = 1, .tokens = 200, .kv_tokens = 200, .head_dim = 8});

    given.run();
    given.run();

    EXPECT_NE(starpu_is_initialized(), 0);
    EXPECT_EQ(starpu_cpu_worker_get_count(), 2U);
    EXPECT_EQ(starpu_task_wait_for_all(), 0); // nothing of ours is left that could not end
}

TEST_P(Embedded, CannotTurnATraceOn) {
    attention_case given(
        {.batch = 1, .heads = 1, .kv_heads = 1, .tokens = 200, .kv_tokens = 200, .head_dim = 8});

    EXPECT_THROW(given.run({.trace_directory = testing::TempDir()}), Error);
}

INSTANTIATE_TEST_SUITE_P(Schedulers, Embedded, ::testing::Values("eager", "lws", "dmda", "dmdas"),
                         [](const auto& tested) { return std::string(tested.param); });

} // namespace
} // namespace cqsa::test
