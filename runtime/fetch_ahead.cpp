// SPDX-License-Identifier: Apache-2.0
#include "runtime/fetch_ahead.hpp"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>

namespace cqsa {

FetchAhead::FetchAhead(unsigned memory_node, std::int64_t key_buffers, std::int64_t query_buffers,
                       bool queries_return)
    : memory_node_(memory_node), query_buffers_(query_buffers), queries_return_(queries_return),
      keys_(key_buffers) {}

void FetchAhead::submitted(std::int64_t attend, handles queries, handles keys) {
    next_operands next;
    {
        const std::lock_guard lock(mutex_);
        const bool nothing_unended = unended_.empty();
        unended_.emplace(attend, reads{.queries = std::move(queries), .keys = std::move(keys)});
        // Otherwise the end of the task before it asks for them.
        if (nothing_unended) next = after({});
    }
    fetch(next);
}

void FetchAhead::ended(std::int64_t attend) {
    next_operands next;
    {
        const std::lock_guard lock(mutex_);
        last_ended_ = std::max(last_ended_, attend);
        const auto task = unended_.extract(attend);
        if (!queries_return_)
            queries_.insert(task.mapped().queries.begin(), task.mapped().queries.end());
        next = after(task.mapped().keys);
    }
    fetch(next);
}

void FetchAhead::released(starpu_data_handle_t query) {
    handles queries;
    {
        const std::lock_guard lock(mutex_);
        queries_.erase(query);
        queries = next_queries();
    }
    fetch_queries(queries);
}

FetchAhead::next_operands FetchAhead::after(const handles& read_keys) {
    next_operands next;
    next.queries = next_queries();
    next.keys = next_keys(read_keys, next.dropped);
    return next;
}

FetchAhead::handles FetchAhead::next_keys(const handles& read_keys, handles& dropped) {
    // StarPU may have evicted some by itself.
    keys_.give_back_if([this](starpu_data_handle_t keys) {
        const bool gone = starpu_data_is_on_node(keys, memory_node_) == 0;
        if (gone) let_go(keys);
        return gone;
    });
    keys_.forget_sight();
    auto end = unended_.begin(); // of the tasks for whose keys there are buffers
    while (end != unended_.end() && end->first <= last_ended_ + attends_in_sight &&
           keys_.see(end->second.keys))
        ++end;
    note(read_keys, dropped);
    handles next;
    for (auto task = unended_.begin(); task != end; ++task) {
        if (task->first > last_ended_ + attends_ahead) break;
        if (std::exchange(task->second.fetched, true)) continue;
        next.insert(next.end(), task->second.keys.begin(), task->second.keys.end());
        note(task->second.keys, dropped);
    }
    return next;
}

void FetchAhead::note(const handles& keys, handles& dropped) {
    for (const starpu_data_handle_t key : keys) {
        keys_.give_back(key);
        while (keys_.is_full()) {
            const std::optional<starpu_data_handle_t> idle = keys_.give_up();
            if (!idle) break;
            let_go(*idle);
            dropped.push_back(*idle);
        }
        keys_.take(key);
        keep(key, memory_node_);
    }
}

FetchAhead::handles FetchAhead::next_queries() {
    const auto most = static_cast<std::size_t>(query_buffers_);
    handles wanted;
    for (const auto& [attend, task] : unended_) {
        if (attend > last_ended_ + attends_ahead) break;
        for (const starpu_data_handle_t query : task.queries) {
            if (queries_return_ && wanted.size() == most) break;
            if (std::ranges::find(wanted, query) == wanted.end()) wanted.push_back(query);
        }
    }
    std::erase_if(queries_, [&](starpu_data_handle_t query) {
        if (std::ranges::find(wanted, query) != wanted.end()) return false;
        let_go(query);
        return queries_return_;
    });
    handles next;
    for (const starpu_data_handle_t query : wanted) {
        const bool has_buffer = queries_.contains(query);
        if (!has_buffer && queries_.size() >= most) continue;
        queries_.insert(query);
        keep(query, memory_node_);
        if (!has_buffer) next.push_back(query);
    }
    return next;
}

void FetchAhead::fetch(const next_operands& next) {
    for (const starpu_data_handle_t one : next.dropped) {
        if (starpu_data_evict_from_node(one, memory_node_) == 0) continue;
        const std::lock_guard lock(mutex_);
        keys_.take_as_oldest(one); // the next time, if it is still there
    }
    fetch_queries(next.queries);
    for (const starpu_data_handle_t one : next.keys)
        starpu_data_prefetch_on_node(one, memory_node_, 1);
}

void FetchAhead::fetch_queries(const handles& queries) const {
    for (const starpu_data_handle_t query : queries) {
        // Where they return, StarPU holds more of them than are kept: where a buffer is free.
        if (queries_return_) {
            starpu_data_idle_prefetch_on_node(query, memory_node_, 1);
        } else {
            starpu_data_prefetch_on_node(query, memory_node_, 1);
        }
    }
}

void FetchAhead::keep(starpu_data_handle_t data, unsigned memory_node) {
    starpu_data_set_wt_mask(data, 1U << memory_node);
}

void FetchAhead::let_go(starpu_data_handle_t data) {
    starpu_data_set_wt_mask(data, 0);
}

} // namespace cqsa
