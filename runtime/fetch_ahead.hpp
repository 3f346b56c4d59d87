// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/fetched_keys.hpp"

#include <starpu.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <vector>

namespace cqsa {

/// Brings the operands of attend tasks to the only worker's GPU some tasks ahead, as soon as there
/// are buffers for them. StarPU asks for them when the task is ready, which is too late where
/// strips change and nothing else is left to compute; and it does not know that what was fetched
/// for a task to come is needed more than what the last one has read.
///
/// Thread-safe. A handle is used from the submission of its first task on; those of queries until
/// they are released, those of keys as long as this object lives.
class FetchAhead {
  public:
    using handles = std::vector<starpu_data_handle_t>;

    /// Of the memory node: buffers for so many blocks of keys with values, and for so many of
    /// queries, each until its result, which takes its place, has left; or, where queries come back
    /// in later tasks (`queries_return`), as long as one of the next tasks reads it.
    FetchAhead(unsigned memory_node, std::int64_t key_buffers, std::int64_t query_buffers,
               bool queries_return);

    /// Attend tasks are numbered in the order of their submission.
    void submitted(std::int64_t attend, handles queries, handles keys);
    void ended(std::int64_t attend);
    /// The result of these queries has left the GPU; their handle may now go.
    void released(starpu_data_handle_t query);

    /// StarPU does not evict from a node what is to be written through to it. What is read or
    /// written on that node needs no writing.
    static void keep(starpu_data_handle_t data, unsigned memory_node);

  private:
    struct reads {
        handles queries;
        handles keys;
        bool fetched = false; ///< the transfers of its keys have been asked for
    };

    /// What the next tasks need on the GPU, and what makes room for it.
    struct next_operands {
        handles queries;
        handles keys;
        handles dropped;
    };

    // These need the mutex.
    /// For the next tasks, now that one has ended that read these keys.
    next_operands after(const handles& read_keys);
    handles next_keys(const handles& read_keys, handles& dropped);
    handles next_queries();
    /// Notes that these keys are on the GPU, last of all, and keeps them there, in the place of
    /// those that were used longest ago, which are added to `dropped`.
    void note(const handles& keys, handles& dropped);
    static void let_go(starpu_data_handle_t data);

    // These do not: StarPU may take a while.
    void fetch(const next_operands& next);
    void fetch_queries(const handles& queries) const;

    const unsigned memory_node_;
    const std::int64_t query_buffers_;
    const bool queries_return_;

    std::mutex mutex_;
    std::int64_t last_ended_ = -1;
    std::map<std::int64_t, reads> unended_; ///< attend tasks
    /// On the GPU, and kept there: where StarPU wants a buffer of another size and all of those are
    /// in use, it evicts whatever it has not used for longest, which helps nobody.
    FetchedKeys<starpu_data_handle_t> keys_;
    std::set<starpu_data_handle_t> queries_; ///< with a buffer of their own, or their result's
};

} // namespace cqsa
