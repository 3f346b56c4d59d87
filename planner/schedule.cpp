// SPDX-License-Identifier: Apache-2.0
#include "planner/schedule.hpp"

#include "planner/block_bytes.hpp"
#include "planner/cost_model.hpp"
#include "planner/multiprocessors.hpp"
#include "planner/recently_used.hpp"
#include "planner/step_stream.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace cqsa {
namespace {

// The host's work, in that for a task: to begin a run, and at each change of strips. Fitted, like
// the assumed rates of tiles, loads and the host, to plans of 64K to 1M tokens on H200s
// (bench/README.md).
constexpr double start_tasks = 10;
constexpr double strip_tasks = 1.4;

class Schedule {
  public:
    Schedule(const plan& plan, const machine& machine, const residency& kept)
        : plan_(plan), machine_(machine), rates_(machine.device_rates),
          tiled_(machine.tiles_at_once > 0 && machine.tile_rows > 0),
          overlaps_(tiled_ && rates_.tile_seconds > 0),
          kept_keys_(plan.keys.blocks(), kept.key_blocks),
          multiprocessors_(tiled_ ? static_cast<double>(machine.tiles_at_once) : 1),
          loaded_(plan.keys.blocks()), read_(plan.keys.blocks()),
          computed_(start_tasks * rates_.host_seconds), bus_(computed_) {}

    double seconds() {
        step_stream steps(plan_);
        while (const auto step = steps.next()) {
            if (step->kind == step_kind::attend) {
                attend(*step);
            } else {
                finalize(*step);
            }
        }
        return std::max(computed_, written_);
    }

  private:
    void attend(const step& step) {
        const double asked = end_of(attends_ahead);
        // The host launches a task while the one before runs, unless both are of one strip.
        launched_ = std::max(launched_, end_of(2)) + rates_.host_seconds;
        double start = overlaps_ ? launched_ : std::max(computed_, launched_);
        if (step.strip == last_strip_) start = std::max(start, computed_ + rates_.host_seconds);
        if (step.strip > newest_strip_) {
            start += strip_tasks * rates_.host_seconds;
            begin_strip(step.strip);
        }
        start = std::max(start, load_queries(step, asked));
        const double latency = rates_.load_seconds / static_cast<double>(step.keys.size());
        for (const std::int64_t block : step.keys)
            start = std::max(start, load_keys(block, asked, latency));
        computed_ = std::max(computed_, compute(step, start)); // launches end in turn
        for (const std::int64_t block : step.keys)
            read_[block] = computed_;
        ends_[static_cast<std::size_t>(attends_++ % attends_ahead)] = computed_;
        last_strip_ = step.strip;
    }

    /// End of the attend task so many places before the next; 0: there is none.
    [[nodiscard]] double end_of(std::int64_t before) const {
        return ends_[static_cast<std::size_t>((attends_ + attends_ahead - before) % attends_ahead)];
    }

    double load_keys(std::int64_t block, double asked, double latency) {
        const std::optional<std::int64_t> out = kept_keys_.next_out();
        if (!kept_keys_.use(block)) return loaded_[block];
        const double seconds =
            static_cast<double>(key_block_bytes(plan_.problem, plan_.keys.size(block))) /
            rates_.h2d_bytes_per_second;
        const double from = std::max(asked, out ? read_[*out] : 0) + rates_.host_seconds;
        bus_ = std::max(bus_, from) + latency + seconds;
        return loaded_[block] = bus_;
    }

    /// The first strip of a group has the buffers of results for its queries; the others get those
    /// of the strips before, when their results have been written.
    void begin_strip(std::int64_t strip) {
        newest_strip_ = strip;
        query_room_ = begun_ > 0 && begun_ <= results_.size() ? results_[begun_ - 1] : 0;
        ++begun_;
    }

    double load_queries(const step& step, double asked) {
        std::int64_t bytes = 0;
        for (std::size_t i = 0; i < step.queries.size(); ++i) {
            const std::int64_t tokens = plan_.queries.size(step.queries[i]);
            if (step.fresh[i]) bytes += query_block_bytes(plan_.problem, tokens);
        }
        if (bytes == 0) return 0;
        const double seconds =
            rates_.load_seconds + static_cast<double>(bytes) / rates_.h2d_bytes_per_second;
        // Keys do not wait for queries that have no buffer yet, but share the bus with them.
        bus_ = std::max(bus_, asked) + seconds;
        return std::max(bus_, query_room_ + seconds);
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
        if (begun_ > 0) {
            begun_ = 0;
            results_.clear();
        }
        last_strip_ = -1;
        for (const std::int64_t block : step.queries) {
            const std::int64_t tokens = plan_.queries.size(block);
            const std::int64_t result = result_block_bytes(plan_.problem, tokens);
            const std::int64_t bytes = state_block_bytes(plan_.problem, tokens) + result;
            computed_ += std::max(rates_.host_seconds,
                                  rates_.task_seconds +
                                      static_cast<double>(bytes) / rates_.merge_bytes_per_second);
            multiprocessors_.wait_until(computed_);
            written_ = std::max(written_, computed_) +
                       static_cast<double>(result) / rates_.d2h_bytes_per_second;
        }
        if (step.strip != finished_strip_ || results_.empty()) results_.push_back(0);
        finished_strip_ = step.strip;
        results_.back() = written_;
    }

    const plan& plan_;
    const machine& machine_;
    const rates& rates_;
    const bool tiled_;
    const bool overlaps_; ///< a launch begins on multiprocessors that the last one leaves
    RecentlyUsed kept_keys_;
    Multiprocessors multiprocessors_;
    std::vector<double> loaded_; ///< of each key block on the device: when it has been loaded,
    std::vector<double> read_;   ///< and the end of the last task that has read it
    double computed_;            ///< end of the last task
    double launched_ = 0;        ///< when the host has launched the last attend task
    double bus_;                 ///< end of the last load
    double written_ = 0;         ///< of the last result
    std::array<double, attends_ahead> ends_{}; ///< of the last attend tasks, in turn
    std::int64_t attends_ = 0;
    std::int64_t last_strip_ = -1;
    std::int64_t newest_strip_ = -1;
    std::int64_t finished_strip_ = -1;
    std::vector<double> results_; ///< when those of the group's strips have been written
    std::size_t begun_ = 0;       ///< strips since the last finalize
    double query_room_ = 0;       ///< when the newest strip has buffers for its queries
};

} // namespace

double simulate_seconds(const plan& plan, const machine& machine, const residency& kept) {
    return Schedule(plan, machine, kept).seconds();
}

} // namespace cqsa
