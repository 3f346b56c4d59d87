// SPDX-License-Identifier: Apache-2.0
// What is brought to a GPU for the attend tasks to come, on a simulated GPU: no tasks run here.
#include "runtime/fetch_ahead.hpp"

#include "codelets/block_data.hpp"
#include "runtime/starpu_context.hpp"

#include <gtest/gtest.h>
#include <starpu.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <thread>
#include <vector>

namespace cqsa::test {
namespace {

class FetchAheadTest : public ::testing::Test {
  protected:
    FetchAheadTest() : starpu_(gpu_only()) {
        starpu_.resume();
        node_ = starpu_worker_get_memory_node(starpu_.cuda_workers().front());
        for (std::size_t i = 0; i < blocks_.size(); ++i) {
            const block_part part{memory_[i].data(), 256, {1, 1, 16}, {4096, 4096, 256}};
            blocks_[i] = register_block(&part, 1, 4096, &moved_);
        }
    }
    ~FetchAheadTest() override {
        for (const starpu_data_handle_t block : blocks_)
            starpu_data_unregister(block);
        starpu_.pause();
    }

    [[nodiscard]] unsigned node() const { return node_; }
    [[nodiscard]] starpu_data_handle_t block(std::size_t i) const { return blocks_[i]; }

    /// The blocks that are on the GPU when all that was asked for has come: within a second, or
    /// these never come.
    std::vector<std::size_t> on_gpu(std::size_t expected) {
        std::vector<std::size_t> there;
        for (int attempt = 0; attempt < 1000; ++attempt) {
            there.clear();
            for (std::size_t i = 0; i < blocks_.size(); ++i)
                if (has_come(blocks_[i])) there.push_back(i);
            if (there.size() >= expected) break;
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        return there;
    }

  private:
    [[nodiscard]] bool has_come(starpu_data_handle_t data) const {
        int is_allocated = 0;
        int is_valid = 0;
        int is_requested = 0;
        starpu_data_query_status(data, static_cast<int>(node_), &is_allocated, &is_valid,
                                 &is_requested);
        return is_valid != 0;
    }

    static starpu_settings gpu_only() {
        starpu_settings settings;
        settings.workers = worker_set::cuda;
        return settings;
    }

    StarpuContext starpu_;
    unsigned node_ = 0;
    traffic moved_;
    std::array<std::array<std::byte, 4096>, 8> memory_{};
    std::array<starpu_data_handle_t, 8> blocks_{};
};

using blocks = std::vector<std::size_t>;

TEST_F(FetchAheadTest, BringsWhatTheNextTasksRead) {
    FetchAhead ahead(node(), 2, 4, false);
    for (std::int64_t attend = 0; attend < 6; ++attend) // a strip a task, all over the same keys
        ahead.submitted(attend, {block(attend)}, {block(7)});
    EXPECT_EQ(on_gpu(2), (blocks{0, 7}));
    ahead.ended(0);
    EXPECT_EQ(on_gpu(5), (blocks{0, 1, 2, 3, 7})); // and not those of tasks that are further away
}

TEST_F(FetchAheadTest, BringsQueriesWhereTheResultsOfOthersHaveLeft) {
    FetchAhead ahead(node(), 2, 3, false);
    for (std::int64_t attend = 0; attend < 6; ++attend)
        ahead.submitted(attend, {block(attend)}, {block(7)});
    ahead.ended(0); // the place of block 0 is taken by its result
    EXPECT_EQ(on_gpu(4), (blocks{0, 1, 2, 7}));
    ahead.ended(1);
    EXPECT_EQ(on_gpu(4), (blocks{0, 1, 2, 7}));
    ahead.released(block(0));
    EXPECT_EQ(on_gpu(5), (blocks{0, 1, 2, 3, 7}));
}

TEST_F(FetchAheadTest, BringsQueriesInThePlaceOfThoseThatReturnLater) {
    FetchAhead ahead(node(), 2, 2, true);
    for (std::int64_t attend = 0; attend < 6; ++attend)
        ahead.submitted(attend, {block(attend % 3)}, {block(7)});
    EXPECT_EQ(on_gpu(2), (blocks{0, 7}));
    ahead.ended(0);
    EXPECT_EQ(on_gpu(4), (blocks{0, 1, 2, 7}));
    EXPECT_EQ(starpu_data_evict_from_node(block(0), node()), 0); // it is not kept any more
    EXPECT_EQ(on_gpu(3), (blocks{1, 2, 7}));
    ahead.ended(1);
    ahead.ended(2);
    EXPECT_EQ(on_gpu(4), (blocks{0, 1, 2, 7}));
}

TEST_F(FetchAheadTest, DropsKeysThatNoTaskInSightReads) {
    FetchAhead ahead(node(), 2, 1, false);
    const std::vector<std::size_t> keys{1, 2, 2, 3, 3, 3, 3};
    for (std::size_t attend = 0; attend < keys.size(); ++attend)
        ahead.submitted(static_cast<std::int64_t>(attend), {block(0)}, {block(keys[attend])});
    EXPECT_EQ(on_gpu(2), (blocks{0, 1}));
    ahead.ended(0); // two buffers hold the keys of the tasks to come
    EXPECT_EQ(on_gpu(3), (blocks{0, 2, 3}));
}

TEST_F(FetchAheadTest, DropsKeysWhenTheNextTaskIsSubmittedAfterAllOthersEnded) {
    FetchAhead ahead(node(), 2, 1, false);
    for (std::int64_t attend = 0; attend < 3; ++attend) {
        ahead.submitted(attend, {block(0)}, {block(attend + 1)});
        on_gpu(static_cast<std::size_t>(std::min<std::int64_t>(attend + 2, 3)));
        ahead.ended(attend);
    }
    EXPECT_EQ(on_gpu(3), (blocks{0, 2, 3})); // the last task found a buffer
}

} // namespace
} // namespace cqsa::test
