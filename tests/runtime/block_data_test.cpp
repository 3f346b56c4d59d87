// SPDX-License-Identifier: Apache-2.0
#include "codelets/block_data.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace cqsa::test {
namespace {

class BlockData : public ::testing::Test {
  protected:
    void SetUp() override {
        starpu_conf conf;
        starpu_conf_init(&conf);
        conf.ncpus = 1;
        conf.ncuda = 0;
        ASSERT_EQ(starpu_init(&conf), 0);
    }
    void TearDown() override { starpu_shutdown(); }
};

// An array [2, 3, 5] of rows of two ints with the given strides (in rows), filled with the logical
// index of each element.
struct array {
    std::vector<int> memory;
    block_part part;

    array(std::array<std::int64_t, 3> strides, std::int64_t rows, bool fill)
        : memory(static_cast<std::size_t>(2 * rows), -1),
          part{memory.data(), 8, {2, 3, 5}, {8 * strides[0], 8 * strides[1], 8 * strides[2]}} {
        if (fill) {
            int next = 0;
            for_each([&](int& x) { x = next++; });
        }
    }
    template<class Visit>
    void for_each(Visit visit) {
        for (std::int64_t b = 0; b < 2; ++b) {
            for (std::int64_t h = 0; h < 3; ++h) {
                for (std::int64_t t = 0; t < 5; ++t) {
                    const std::int64_t offset =
                        b * part.strides[0] + h * part.strides[1] + t * part.strides[2];
                    int* row = memory.data() + offset / 4;
                    visit(row[0]);
                    visit(row[1]);
                }
            }
        }
    }
    std::vector<int> values() {
        std::vector<int> all;
        for_each([&](int& x) { all.push_back(x); });
        return all;
    }
};

struct strides_case {
    std::string name;
    std::array<std::int64_t, 3> strides;
};

class Strides : public BlockData, public ::testing::WithParamInterface<strides_case> {};

TEST_P(Strides, SurviveACopyThroughStarpusOwnBuffer) {
    array from(GetParam().strides, 200, true);
    array to({15, 5, 1}, 30, false);
    const std::vector<int> expected = from.values();
    traffic counters;
    constexpr std::int64_t bytes = 256; // 30 rows of 8
    starpu_data_handle_t source = register_block(&from.part, 1, bytes, &counters);
    starpu_data_handle_t target = register_block(&to.part, 1, bytes, &counters);

    starpu_data_cpy(target, source, 0, nullptr, nullptr);
    starpu_data_unregister(target);
    starpu_data_unregister(source);

    EXPECT_EQ(to.values(), expected);
    EXPECT_EQ(counters.h2d_bytes, 0);
}

INSTANTIATE_TEST_SUITE_P(BlockData, Strides,
                         ::testing::Values(strides_case{"bhnd", {15, 5, 1}},
                                           strides_case{"bnhd", {15, 1, 3}},
                                           strides_case{"sliced", {60, 20, 4}},
                                           strides_case{"heads_outermost", {5, 10, 1}},
                                           strides_case{"one_head_for_all", {5, 0, 1}}),
                         [](const auto& tested) { return tested.param.name; });

void fill_with_nines(void* buffers[], void* /*argument*/) {
    const auto& block = *static_cast<const block_data*>(buffers[0]);
    std::fill_n(static_cast<int*>(block.part[0].data), block.part[0].bytes() / 4, 9);
}

void copy_out(void* buffers[], void* argument) {
    const auto& block = *static_cast<const block_data*>(buffers[0]);
    const int* data = static_cast<const int*>(block.part[0].data);
    static_cast<std::vector<int>*>(argument)->assign(data, data + block.part[0].bytes() / 4);
}

TEST_F(BlockData, TemporariesLiveFromTheirFirstWriteToTheirRelease) {
    starpu_codelet write;
    starpu_codelet_init(&write);
    write.cpu_funcs[0] = fill_with_nines;
    write.nbuffers = 1;
    write.modes[0] = STARPU_W;
    starpu_codelet read;
    starpu_codelet_init(&read);
    read.cpu_funcs[0] = copy_out;
    read.nbuffers = 1;
    read.modes[0] = STARPU_R;
    std::vector<int> seen;
    starpu_data_handle_t handle = register_temporary(40, 64, nullptr);

    starpu_task_insert(&write, STARPU_W, handle, 0);
    starpu_task_insert(&read, STARPU_R, handle, STARPU_CL_ARGS_NFREE, &seen,
                       sizeof(std::vector<int>), 0);
    starpu_data_unregister_submit(handle);
    starpu_task_wait_for_all();

    EXPECT_EQ(seen, std::vector<int>(10, 9));
}

} // namespace
} // namespace cqsa::test
