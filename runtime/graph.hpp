// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/run.hpp"
#include "planner/memory_model.hpp"
#include "planner/plan.hpp"
#include "runtime/fetch_ahead.hpp"
#include "runtime/operands.hpp"

#include <starpu.h>

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace cqsa {

/// One attention as a graph of StarPU tasks: registers the blocks, submits the plan's steps in
/// order and waits for its own tasks only. Used by one thread; StarPU's threads call back.
///
/// Two windows bound what lives at a time. Strips: a strip's first task waits, as a StarPU
/// dependency, until every task of the strip `interleave` places before it has ended, so no more
/// strips than the plan counted hold device memory. Tasks: the submitting thread waits while
/// `max_tasks` submitted tasks have not ended, so the graph itself stays small at any length.
class Graph {
  public:
    /// where: starpu_task::where of every task. lone_worker: the one that takes them all, or all
    /// but a few; −1: there are several. workspace_bytes: of an attend task on a GPU, which has
    /// the buffers of `kept`. stall_seconds: see Stalled.
    Graph(const operands& given, const plan& the_plan, Run& run, std::int32_t where,
          int lone_worker, std::int64_t workspace_bytes, const residency& kept,
          double stall_seconds);
    ~Graph();
    Graph(const Graph&) = delete;
    Graph& operator=(const Graph&) = delete;

    /// Called by execute about ten times a second with (flops, tasks) that have ended; returning
    /// true stops the run.
    using poll_function = std::function<bool(double, std::int64_t)>;

    /// Submits everything and waits. The outputs are in the caller's memory when it returns. Throws
    /// the first error of a task, Error(stopped), or Stalled.
    void execute(const poll_function& poll);

    /// No task has ended for stall_seconds. StarPU still holds the graph's data: the graph, its
    /// run, the memory they use and StarPU itself must be left alone for ever.
    class Stalled : public Error {
        using Error::Error;
    };

  private:
    struct handle_deleter {
        void operator()(starpu_data_handle_t data) const;
    };
    using handle = std::unique_ptr<_starpu_data_state, handle_deleter>;

    /// A place in the window of strips: a handle without content that its tasks depend on.
    struct slot {
        handle order;
        std::int64_t strip = -1;                  ///< the last that began here
        std::shared_ptr<strip_progress> progress; ///< its own
    };

    void submit(const step& step);
    void submit_attend(const step& step);
    void submit_merge(const step& step);
    void submit_finalize(const step& step);
    /// `finished_block` ≥ 0: the block that is complete when this task has ended.
    void submit_task(starpu_codelet& codelet, std::unique_ptr<task_arguments> arguments,
                     std::vector<starpu_data_descr> buffers, int priority,
                     std::int64_t finished_block = -1);
    /// Orders the task after the strip that had the same place in the window before, and tells it
    /// of the visit it belongs to, which the place deals to one of several GPUs. On one worker
    /// an attend task also waits for all but the last before it, whatever strips they belong to:
    /// otherwise one strip walks ahead of the other, each loads the keys for itself, and those of
    /// more tasks than have buffers are wanted at a time.
    void enter_window(const step& step, task_arguments& arguments,
                      std::vector<starpu_data_descr>& buffers);
    /// S_i or P_{s,i}: a state that is no longer in use, or a new one, when it is asked for the
    /// first time.
    template<class Key>
    starpu_data_handle_t state_of(std::map<Key, starpu_data_handle_t>& states, const Key& key);
    starpu_data_handle_t query_handle(std::int64_t block);
    starpu_data_handle_t key_handle(std::int64_t block);
    starpu_data_handle_t result_handle(std::int64_t block);
    starpu_data_handle_t block_of(std::map<std::int64_t, handle>& blocks, const char* name,
                                  std::int64_t block, const block_grid& grid,
                                  std::int64_t buffer_bytes,
                                  std::initializer_list<const tensor*> arrays);
    [[nodiscard]] std::int64_t state_bytes(std::int64_t block) const;

    void wait_until(const std::function<bool()>& condition, const poll_function& poll);
    void release_finished_blocks();

    const operands given_;
    const plan plan_;
    const buffer_sizes sizes_;
    Run& run_;
    const std::int32_t where_;
    const bool one_worker_;
    const unsigned memory_node_; ///< of the only worker
    const std::chrono::duration<double> stall_limit_;
    bool stopped_ = false;
    std::chrono::steady_clock::time_point next_poll_;
    std::chrono::steady_clock::time_point last_end_; ///< when a task was last seen to have ended
    std::int64_t last_ended_ = 0;

    std::map<std::int64_t, handle> queries_;
    std::map<std::int64_t, handle> keys_;
    std::map<std::int64_t, handle> results_;
    // States live in handles that are used again, so that they keep their memory. StarPU orders
    // the uses of a handle as they were submitted.
    std::vector<handle> state_handles_;
    std::deque<starpu_data_handle_t> spare_states_;       ///< the longest unused first
    std::map<std::int64_t, starpu_data_handle_t> states_; ///< S_i, until finalize is submitted
    using quorum_block = std::pair<std::int64_t, std::int64_t>;
    std::map<quorum_block, starpu_data_handle_t> partials_; ///< P_{s,i}, until merge is submitted
    std::vector<slot> slots_;
    /// Handles without content that the attend tasks write in turn, and read to wait for those
    /// before. With fewer than five, the next to write one would wait for a task that reads it.
    std::array<handle, 5> turns_;
    handle workspace_; ///< of each GPU, as StarPU's SCRATCH data; null: none is needed
    std::int64_t submitted_ = 0;

    std::int64_t attends_ = 0;              ///< submitted
    std::optional<FetchAhead> fetch_ahead_; ///< where one GPU is the only worker

    std::mutex mutex_; ///< guards what follows: written by StarPU's threads
    std::condition_variable changed_;
    std::int64_t ended_ = 0;
    double ended_flops_ = 0;
    std::vector<std::int64_t> finished_blocks_; ///< finalized, not yet released
};

} // namespace cqsa
