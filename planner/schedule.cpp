// SPDX-License-Identifier: Apache-2.0
#include "planner/schedule.hpp"

#include "planner/block_bytes.hpp"
#include "planner/cost_model.hpp"
#include "planner/fetched_keys.hpp"
#include "planner/multiprocessors.hpp"
#include "planner/step_stream.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

namespace cqsa {
namespace {

// The host's work, in that for a task: to begin a run, and at each change of strips. Fitted, like
// the assumed rates of tiles, loads and the host, to plans of 64K to 1M tokens on H200s
// (bench/README.md).
constexpr double start_tasks = 12;
constexpr double strip_tasks = 1.4;

class Schedule {
  public:
    Schedule(const plan& plan, const machine& machine, const residency& kept)
        : plan_(plan), machine_(machine), rates_(machine.device_rates),
          tiled_(machine.tiles_at_once > 0 && machine.tile_rows > 0),
          overlaps_(tiled_ && rates_.tile_seconds > 0), keys_(kept.key_blocks),
          multiprocessors_(tiled_ ? static_cast<double>(machine.tiles_at_once) : 1),
          loaded_(plan.keys.blocks()), read_(plan.keys.blocks()),
          computed_(start_tasks * rates_.host_seconds), bus_(computed_),
          query_room_(query_buffers(plan, kept), 0) {}

    schedule run() {
        step_stream steps(plan_);
        while (look_ahead(steps)) {
            const step next = take_next();
            if (next.kind == step_kind::attend) {
                --attends_in_view_;
                attend(next);
                before_[static_cast<std::size_t>(attends_++ % attends_ahead)] = next.keys;
            } else {
                finalize(next);
            }
        }
        return {std::max(computed_, written_), loaded_tokens_};
    }

  private:
    /// Fills ahead_ as far as the graph sees; false at the end.
    bool look_ahead(step_stream& steps) {
        while (attends_in_view_ <= attends_in_sight) {
            std::optional<step> next = steps.next();
            if (!next) break;
            if (next->kind == step_kind::attend) ++attends_in_view_;
            ahead_.push_back(std::move(*next));
        }
        return !ahead_.empty();
    }

    /// The step that the GPU does next: of a strip that is under way the next task, launched while
    /// the last one ran, comes before what finalizes another strip.
    step take_next() {
        auto one = std::ranges::find(ahead_, step_kind::attend, &step::kind);
        if (one == ahead_.end() || one->strip > newest_strip_) one = ahead_.begin();
        // Nothing overtakes the end of its own strip.
        if (std::any_of(ahead_.begin(), one,
                        [&](const step& before) { return before.strip == one->strip; }))
            one = ahead_.begin();
        step next = std::move(*one);
        ahead_.erase(one);
        return next;
    }

    void attend(const step& step) {
        const double asked = end_of(attends_ahead);
        keys_.forget_sight();
        note_ended_keys(step);
        // The host launches a task while the one before runs, unless both are of one strip.
        launched_ = std::max(launched_, end_of(2)) + rates_.host_seconds;
        double start = overlaps_ ? launched_ : std::max(computed_, launched_);
        if (step.strip == last_strip_) start = std::max(start, computed_ + rates_.host_seconds);
        if (step.strip > newest_strip_) {
            start = std::max(start, finalized_) + strip_tasks * rates_.host_seconds;
            newest_strip_ = step.strip;
        }
        start = std::max(start, load_queries(step, asked));
        const double latency = rates_.load_seconds / static_cast<double>(step.keys.size());
        for (const std::int64_t block : step.keys)
            start = std::max(start, load_keys(step, block, asked, latency));
        computed_ = std::max(computed_, compute(step, start)); // launches end in turn
        for (const std::int64_t block : step.keys)
            read_[block] = computed_;
        ends_[static_cast<std::size_t>(attends_ % attends_ahead)] = computed_;
        last_strip_ = step.strip;
    }

    /// End of the attend task so many places before the next; 0: there is none.
    [[nodiscard]] double end_of(std::int64_t before) const {
        return ends_[static_cast<std::size_t>((attends_ + attends_ahead - before) % attends_ahead)];
    }

    /// The keys of the attend task so many places before the next.
    [[nodiscard]] const std::vector<std::int64_t>& keys_before(std::int64_t places) const {
        return before_[static_cast<std::size_t>((attends_ + attends_ahead - places) %
                                                attends_ahead)];
    }

    /// Those of the task that has ended when the next one's are asked for count as just used. If
    /// they had been given up before it began, it has loaded them again.
    void note_ended_keys(const step& step) {
        const std::int64_t ended = attends_ == 1 ? 1 : attends_ > attends_ahead ? attends_ahead : 0;
        if (ended == 0) return;
        for (const std::int64_t block : keys_before(ended)) {
            const bool held = keys_.give_back(block);
            make_room(step);
            keys_.take(block);
            if (!held) bus_ += counted_load(block);
        }
    }

    double load_keys(const step& step, std::int64_t block, double asked, double latency) {
        const bool held = keys_.give_back(block);
        const double room = make_room(step);
        keys_.take(block);
        if (held) return loaded_[block];
        bus_ = std::max(bus_, std::max(asked, room) + rates_.host_seconds) + latency +
               counted_load(block);
        return loaded_[block] = bus_;
    }

    /// Seconds of the bus.
    double counted_load(std::int64_t block) {
        const std::int64_t tokens = plan_.keys.size(block);
        loaded_tokens_ += tokens;
        return static_cast<double>(key_block_bytes(plan_.problem, tokens)) /
               rates_.h2d_bytes_per_second;
    }

    /// Gives up blocks until there is a free buffer, and tells since when; or, where all are in
    /// sight, when the first of them will be.
    double make_room(const step& step) {
        if (!keys_.is_full()) return 0;
        if (!keys_.sees_any()) look_around(step);
        const std::optional<std::int64_t> first = keys_.give_up();
        while (first && keys_.is_full() && keys_.give_up()) {
        }
        const auto end = [&](std::int64_t held) { return read_[held]; };
        return end(first ? *first : std::ranges::min(keys_.held(), {}, end));
    }

    /// The keys that stay for the attend tasks to come when `step` asks for its own: of the first
    /// of them, of as many blocks as there are buffers. Where each task takes several, it is not
    /// known to matter.
    void look_around(const step& step) {
        if (plan_.segment_blocks > 1) return;
        std::int64_t left = attends_in_sight;
        for (std::int64_t places = attends_ahead - 1; places > 0; --places) {
            if (attends_ - places < 1) continue; // the first task is the one that has ended
            if (!keys_.see(keys_before(places))) return;
            --left;
        }
        if (!keys_.see(step.keys)) return;
        --left;
        for (auto one = ahead_.begin(); left > 0 && one != ahead_.end(); ++one) {
            if (one->kind != step_kind::attend) continue;
            if (!keys_.see(one->keys)) return;
            --left;
        }
    }

    double load_queries(const step& step, double asked) {
        std::int64_t bytes = 0;
        double room = 0;
        for (std::size_t i = 0; i < step.queries.size(); ++i) {
            if (!step.fresh[i]) continue;
            bytes += query_block_bytes(plan_.problem, plan_.queries.size(step.queries[i]));
            room = std::max(room, take_query_buffer());
        }
        if (bytes == 0) return 0;
        const double seconds =
            rates_.load_seconds + static_cast<double>(bytes) / rates_.h2d_bytes_per_second;
        // Keys do not wait for queries that have no buffer yet, but share the bus with them.
        bus_ = std::max(bus_, asked) + seconds;
        return std::max(bus_, room + seconds);
    }

    /// Since when the next buffer for queries has been free.
    double take_query_buffer() {
        if (query_room_.empty()) return 0; // kept.query_blocks are fewer than the plan needs
        const double since = query_room_.front();
        query_room_.pop_front();
        return since;
    }

    /// What the clock, before it has fallen to the power limit, saves of so much computing.
    [[nodiscard]] double boost(double from, double to) const {
        const double end = std::min(to, rates_.boost_seconds);
        if (from >= end) return 0;
        const double mean = 1 - (from + end) / (2 * rates_.boost_seconds);
        return rates_.boost * mean * (end - from);
    }

    /// The end of a task that is launched at `start`.
    double compute(const step& step, double start) {
        double seconds = static_cast<double>(step.flops) / rates_.attend_flops_per_second;
        seconds -= boost(start, start + seconds);
        seconds += rates_.task_seconds;
        if (!tiled_) return multiprocessors_.run(1, seconds, start);
        std::int64_t rows = 0;
        std::int64_t tiles = 0;
        for (const std::int64_t block : step.queries) {
            rows += plan_.queries.size(block);
            tiles += tiles_of(plan_.queries.size(block), machine_);
        }
        // The last tile of a block takes as long as the others.
        seconds *= static_cast<double>(tiles * machine_.tile_rows) / static_cast<double>(rows);
        tiles *= plan_.problem.heads * plan_.problem.batch;
        // A launch of fewer tiles than are worked at once is cut finer.
        if (overlaps_) tiles = std::max(tiles, machine_.tiles_at_once);
        const auto places = static_cast<double>(machine_.tiles_at_once);
        const double turns = static_cast<double>(tiles) / places;
        // At the power limit multiprocessors without work leave their power to the others.
        if (rates_.boost > 0 && start >= rates_.boost_seconds) {
            return multiprocessors_.run(places, seconds + turns * rates_.tile_seconds,
                                        std::max(start, computed_));
        }
        return multiprocessors_.run(static_cast<double>(tiles),
                                    seconds / turns + rates_.tile_seconds, start);
    }

    void finalize(const step& step) {
        last_strip_ = -1;
        for (const std::int64_t block : step.queries) {
            const std::int64_t tokens = plan_.queries.size(block);
            const std::int64_t result = result_block_bytes(plan_.problem, tokens);
            const std::int64_t bytes = state_block_bytes(plan_.problem, tokens) + result;
            computed_ += std::max(rates_.host_seconds,
                                  rates_.task_seconds +
                                      static_cast<double>(bytes) / rates_.merge_bytes_per_second);
            finalized_ = computed_;
            multiprocessors_.wait_until(computed_);
            written_ = std::max(written_, computed_) +
                       static_cast<double>(result) / rates_.d2h_bytes_per_second;
            query_room_.push_back(written_ + rates_.host_seconds);
        }
    }

    const plan& plan_;
    const machine& machine_;
    const rates& rates_;
    const bool tiled_;
    const bool overlaps_; ///< a launch begins on multiprocessors that the last one leaves
    FetchedKeys<std::int64_t> keys_;
    std::deque<step> ahead_;                                      ///< steps that follow
    std::int64_t attends_in_view_ = 0;                            ///< of ahead_
    std::array<std::vector<std::int64_t>, attends_ahead> before_; ///< keys of the last attends
    std::int64_t loaded_tokens_ = 0;
    Multiprocessors multiprocessors_;
    std::vector<double> loaded_; ///< of each key block on the device: when it has been loaded,
    std::vector<double> read_;   ///< and the end of the last task that has read it
    double computed_;            ///< end of the last task
    double launched_ = 0;        ///< when the host has launched the last attend task
    double bus_;                 ///< end of the last load
    double finalized_ = 0;       ///< end of the last finalize task
    double written_ = 0;         ///< of the last result
    std::array<double, attends_ahead> ends_{}; ///< of the last attend tasks, in turn
    std::int64_t attends_ = 0;
    std::int64_t last_strip_ = -1;
    std::int64_t newest_strip_ = -1;
    std::deque<double> query_room_; ///< since when each free buffer of queries has been so
};

} // namespace

schedule simulate_schedule(const plan& plan, const machine& machine, const residency& kept) {
    return Schedule(plan, machine, kept).run();
}

} // namespace cqsa
