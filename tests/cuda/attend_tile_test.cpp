// SPDX-License-Identifier: Apache-2.0
// What the planner hears of the kernels' tiles. Needs no GPU.
#include "codelets/attend/attend.hpp"

#include <gtest/gtest.h>

namespace cqsa {
namespace {

attend_task task_of(data_type type, std::int64_t head_dim) {
    attend_task task;
    task.type = type;
    task.head_dim = head_dim;
    return task;
}

TEST(AttendTile, IsWorkedByTwoMultiprocessorsWhereTheyShareKeys) {
    const cuda::gpu_kind hopper{.major = 9, .multiprocessors = 132};
    const cuda::attend_tile narrow = cuda::attend_tile_of(task_of(data_type::f16, 64), hopper);
    EXPECT_EQ(narrow.rows, 192);
    EXPECT_EQ(narrow.multiprocessors, 1);
    const cuda::attend_tile wide = cuda::attend_tile_of(task_of(data_type::bf16, 128), hopper);
    EXPECT_EQ(wide.rows, 2 * 192);
    EXPECT_EQ(wide.multiprocessors, 2);
    const cuda::gpu_kind odd{.major = 9, .multiprocessors = 131};
    EXPECT_EQ(cuda::attend_tile_of(task_of(data_type::bf16, 128), odd).rows, 192);
}

TEST(AttendTile, IsThatOfTheOtherKernelWhereHopperHasNone) {
    const cuda::gpu_kind ampere{.major = 8, .multiprocessors = 108};
    EXPECT_EQ(cuda::attend_tile_of(task_of(data_type::f16, 64), ampere).rows, 128);
    const cuda::gpu_kind hopper{.major = 9, .multiprocessors = 132};
    EXPECT_EQ(cuda::attend_tile_of(task_of(data_type::f32, 128), hopper).rows, 128);
}

TEST(AttendTile, DividesBlocksIntoWholeTilesOfAMultiprocessor) {
    const cuda::gpu_kind hopper{.major = 9, .multiprocessors = 132};
    for (const std::int64_t head_dim : {16, 32, 64, 80, 96, 128, 192, 256}) {
        const attend_task task = task_of(data_type::f16, head_dim);
        const cuda::attend_tile tile = cuda::attend_tile_of(task, hopper);
        const std::int64_t multiple = cuda::attend_block_multiple(task, hopper);
        EXPECT_EQ(multiple % (tile.rows / tile.multiprocessors), 0) << head_dim;
    }
}

} // namespace
} // namespace cqsa
