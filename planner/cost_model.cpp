// SPDX-License-Identifier: Apache-2.0
#include "planner/cost_model.hpp"

#include "planner/flops.hpp"
#include "planner/key_loads.hpp"
#include "planner/visibility.hpp"

#include <algorithm>
#include <cmath>
#include <initializer_list>

namespace cqsa {
namespace {

struct token_bytes {
    explicit token_bytes(const problem& p)
        : query(p.batch * p.heads * p.head_dim * bytes_of(p.type)),
          key(2 * p.batch * p.kv_heads * p.head_dim * bytes_of(p.type)),
          state(p.batch * p.heads * (p.head_dim + 2) * bytes_of(state_type(p.type))),
          result(p.batch * p.heads *
                 (p.head_dim * bytes_of(p.out_type) + bytes_of(state_type(p.type)))) {}
    std::int64_t query;
    std::int64_t key;
    std::int64_t state;
    std::int64_t result;
};

double as_double(std::int64_t value) {
    return static_cast<double>(value);
}

const rates& main_rates(const machine& machine) {
    return machine.devices > 0 ? machine.device_rates : machine.cpu_rates;
}

std::int64_t block_rows(const plan& plan) {
    return std::min(plan.queries.block_tokens, plan.queries.tokens);
}

std::int64_t tiles_of_a_task(const plan& plan, const machine& machine) {
    const std::int64_t blocks = std::min(plan.strip_blocks, plan.queries.blocks());
    return blocks * tiles_of(block_rows(plan), machine) * plan.problem.heads * plan.problem.batch;
}

double attend_seconds(double flops, const plan& plan, const machine& machine) {
    const double rate = main_rates(machine).attend_flops_per_second;
    return flops / (machine.devices > 0 ? rate * tile_efficiency(plan, machine) : rate);
}

/// Seconds of what goes on at the same time: those of the longest where they differ much, and more
/// where they are close, since none goes on evenly (a tenth more where two are equal).
double overlapped(std::initializer_list<double> all) {
    constexpr double sharpness = 8;
    const double longest = std::max(all);
    if (longest <= 0) return 0;
    double sum = 0;
    for (const double one : all)
        sum += std::pow(one / longest, sharpness);
    return longest * std::pow(sum, 1 / sharpness);
}

/// Whether a worker has one strip at a time, whose tasks wait for each other.
bool has_lone_strips(const plan& plan, const machine& machine) {
    return plan.interleave <= workers(machine);
}

/// How much longer the fullest of some devices is busy than the mean, strips being shared out
/// whole. Equal strips: it has ⌈strips ÷ devices⌉ of them. Causal query-major strips start with the
/// longest, so the short ones fill what is left, unless the longest alone is more than a share.
double imbalance(const plan& plan, const workload& work, double devices) {
    if (work.visits == 0) return 1;
    const problem& p = plan.problem;
    if (plan.order == task_order::query_major && p.mask != mask_rule::none) {
        const std::int64_t rows = std::min(p.tokens, plan.strip_blocks * plan.queries.block_tokens);
        const double longest = as_double(Visibility::pairs_below_edge(
            p.tokens + p.causal_offset() - rows + 1, rows, p.kv_tokens));
        return std::max(1.0, devices * longest / visible_pairs(p));
    }
    const double visits = as_double(work.visits);
    return std::ceil(visits / devices) * devices / visits;
}

} // namespace

bus_traffic predict_traffic(const plan& plan, const machine& machine, const workload& work,
                            const residency& kept, std::int64_t loaded_key_tokens) {
    bus_traffic traffic;
    const token_bytes bytes(plan.problem);
    // Every device walks over the keys for its share of each group's strips.
    const auto sharers = std::min<std::int64_t>(machine.devices, plan.interleave);
    traffic.key_bytes = sharers * bytes.key * loaded_key_tokens;
    const bool once = plan.order == task_order::query_major || kept.queries;
    traffic.query_bytes = bytes.query * (once ? work.live_tokens : work.visit_tokens);
    if (plan.order == task_order::quorum_major && !kept.states) {
        traffic.state_bytes = bytes.state * (work.visit_tokens - work.live_tokens);
    }
    traffic.result_bytes = bytes.result * plan.problem.tokens;
    return traffic;
}

std::int64_t tiles_of(std::int64_t rows, const machine& machine) {
    return (rows + machine.tile_rows - 1) / machine.tile_rows;
}

double tile_efficiency(const plan& plan, const machine& machine) {
    if (machine.tiles_at_once <= 0 || machine.tile_rows <= 0) return 1;
    const std::int64_t tiles = tiles_of_a_task(plan, machine);
    if (tiles == 0) return 1;
    const std::int64_t rows = block_rows(plan);
    const double filled = as_double(rows) / as_double(tiles_of(rows, machine) * machine.tile_rows);
    const bool overlap = machine.device_rates.tile_seconds > 0 && !has_lone_strips(plan, machine);
    if (overlap) return filled;
    const std::int64_t waves = (tiles + machine.tiles_at_once - 1) / machine.tiles_at_once;
    return filled * as_double(tiles) / as_double(waves * machine.tiles_at_once);
}

double tile_seconds(const plan& plan, const machine& machine, const workload& work) {
    if (machine.devices == 0 || machine.tiles_at_once <= 0 || machine.tile_rows <= 0) return 0;
    const double turns =
        as_double(tiles_of_a_task(plan, machine)) / as_double(machine.tiles_at_once);
    return as_double(work.tasks) * std::max(1.0, turns) * machine.device_rates.tile_seconds;
}

double mean_task_seconds(const plan& plan, const machine& machine, const workload& work) {
    if (work.tasks == 0) return 0;
    return attend_seconds(total_flops(plan.problem), plan, machine) / as_double(work.tasks);
}

double longest_task_seconds(const plan& plan, const machine& machine, const workload& work) {
    return attend_seconds(as_double(flops_per_pair(plan.problem)) * work.largest_task_pairs, plan,
                          machine);
}

double predict_seconds(const plan& plan, const machine& machine, const workload& work,
                       const bus_traffic& traffic) {
    const rates& rates = main_rates(machine);
    const token_bytes bytes(plan.problem);
    double capacity = 1; // in workers as fast as the main ones
    if (machine.devices > 0) {
        capacity = machine.devices;
        if (workers(machine) > machine.devices) {
            capacity += machine.cpu_rates.attend_flops_per_second / rates.attend_flops_per_second;
        }
    }
    const double merged_bytes = plan.flow == state_flow::merged
                                    ? as_double(bytes.state) * (3 * as_double(work.visit_tokens) -
                                                                as_double(work.live_tokens))
                                    : 0;
    const double finalized_bytes = as_double(bytes.state) * as_double(work.live_tokens) +
                                   as_double(bytes.result) * as_double(plan.problem.tokens);
    const std::int64_t merges = plan.flow == state_flow::merged ? work.block_visits : 0;
    const std::int64_t tasks = work.tasks + merges + plan.queries.blocks();
    const double busy = attend_seconds(total_flops(plan.problem), plan, machine) +
                        tile_seconds(plan, machine, work) +
                        (merged_bytes + finalized_bytes) / rates.merge_bytes_per_second +
                        as_double(tasks) * rates.task_seconds;
    if (machine.devices == 0) {
        const double touched = as_double(host_bytes(plan, machine)) +
                               as_double(bytes.result) * as_double(plan.problem.tokens);
        return rates.touch_bytes_per_second > 0 ? busy + touched / rates.touch_bytes_per_second
                                                : busy;
    }

    const double devices = machine.devices;
    const double shared = imbalance(plan, work, devices);
    const double sustained = busy * shared / capacity;
    const double boosted = std::min(sustained, rates.boost_seconds);
    const double falling = boosted > 0 ? boosted / (2 * rates.boost_seconds) : 0;
    const double compute = sustained - rates.boost * boosted * (1 - falling);
    const std::int64_t segment_tokens =
        std::min(plan.keys.tokens, plan.segment_blocks * plan.keys.block_tokens);
    const double segments = as_double(traffic.key_bytes) /
                            as_double(std::max<std::int64_t>(1, bytes.key * segment_tokens));
    const double loads = (as_double(traffic.key_bytes) / rates.h2d_bytes_per_second +
                          segments * rates.load_seconds) /
                         devices;
    const double host = as_double(tasks) * rates.host_seconds / devices;
    const bool lone_strips = has_lone_strips(plan, machine);
    const bool fetches_ahead = workers(machine) == 1 && !lone_strips;
    const std::int64_t h2d_bytes = traffic.state_bytes + (fetches_ahead ? 0 : traffic.query_bytes);
    const std::int64_t d2h_bytes = traffic.state_bytes + (fetches_ahead ? 0 : traffic.result_bytes);
    const double changes = (as_double(h2d_bytes) / rates.h2d_bytes_per_second +
                            as_double(d2h_bytes) / rates.d2h_bytes_per_second +
                            as_double(work.visits) * rates.strip_seconds) /
                           devices;
    // Only evicted states need host memory of their own.
    const double pinned =
        traffic.state_bytes > 0 && rates.pin_bytes_per_second > 0
            ? as_double(bytes.state) * as_double(work.live_tokens) / rates.pin_bytes_per_second
            : 0;
    // Nothing is computed while the first segment and the first strip's queries come and the last
    // strip's results go.
    const std::int64_t strip_tokens =
        fetches_ahead ? std::min(plan.queries.tokens, plan.strip_blocks * plan.queries.block_tokens)
                      : 0;
    const double ends = as_double(bytes.key * segment_tokens + bytes.query * strip_tokens) /
                            rates.h2d_bytes_per_second +
                        as_double(bytes.result * strip_tokens) / rates.d2h_bytes_per_second;
    // A lone GPU is told to load keys ahead.
    const double walks = !lone_strips            ? overlapped({compute, loads, host})
                         : workers(machine) == 1 ? overlapped({compute + host, loads})
                                                 : compute + host + loads;
    return ends + pinned + walks + changes;
}

namespace {

template<class Loads>
cost predict_with(const plan& plan, const machine& machine, const workload& work,
                  Loads loads_with) {
    cost cost;
    cost.flops = total_flops(plan.problem);
    cost.host_bytes = host_bytes(plan, machine);
    residency kept;
    bus_traffic traffic;
    if (machine.devices > 0) {
        kept = device_residency(plan, machine);
        traffic = predict_traffic(plan, machine, work, kept, loads_with(kept.key_blocks));
    }
    cost.device_bytes = kept.device_bytes;
    cost.h2d_bytes = traffic.h2d();
    cost.d2h_bytes = traffic.d2h();
    cost.seconds = predict_seconds(plan, machine, work, traffic);
    return cost;
}

} // namespace

cost predict(const plan& plan, const machine& machine, const workload& work) {
    return predict_with(plan, machine, work, [&](std::int64_t resident) {
        return predict_key_loads(plan, work, resident);
    });
}

cost predict_by_simulation(const plan& plan, const machine& machine, const workload& work) {
    return predict_with(plan, machine, work,
                        [&](std::int64_t resident) { return simulate_key_loads(plan, resident); });
}

} // namespace cqsa
