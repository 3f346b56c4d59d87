// SPDX-License-Identifier: Apache-2.0
#include "planner/make_plan.hpp"

#include "planner/block_bytes.hpp"
#include "planner/candidates.hpp"
#include "planner/check_request.hpp"
#include "planner/cost_model.hpp"
#include "planner/error.hpp"
#include "planner/flops.hpp"
#include "planner/schedule.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <string>
#include <tuple>

namespace cqsa {
namespace {

// Strips and segments are tried from the longest that fit; much shorter ones only cost more.
constexpr int feasible_strips = 12;
constexpr int feasible_segments = 6;
// Counting the steps of a deep division or of very many quorums takes longer.
constexpr std::int64_t quickly_counted_chunks = 200;
constexpr int feasible_slow_strips = 3;
constexpr int feasible_slow_segments = 2;

constexpr std::int64_t quickly_simulated_keys = 100'000;
// Steps that are simulated for the seconds of plans, of all together: for each second of the run,
// at least, and at most. A step takes less than half a microsecond. Where memory is ample,
// plans have few steps and are all alike, so that no more of them are worth it.
constexpr double simulated_steps_per_second = 30'000;
constexpr double least_simulated_steps = 2'000;
constexpr double most_simulated_steps = 100'000;
constexpr std::size_t most_simulated_plans = 48;
// How much longer than the fastest a plan may take by the closed form to be simulated.
constexpr double closed_form_error = 0.25;

// Differences that the model cannot tell, and those that a simulated schedule cannot.
constexpr double same_time = 0.005;
constexpr double same_simulated_time = 0.002;
// What tasks of a good length may cost. The model does not know how much slower the kernel of a CPU
// is in short ones.
constexpr double length_loss = 0.05;
constexpr double cpu_length_loss = 0.15;

struct candidate {
    cqsa::plan plan;
    workload work;
    double mean_task_seconds = 0;
    double longest_task_seconds = 0;
    std::int64_t loaded_key_tokens = 0; ///< where it has been simulated
};

bool is_lone_gpu(const machine& machine) {
    return machine.devices == 1 && workers(machine) == 1;
}

bool has_cpu_beside_gpus(const machine& machine) {
    return machine.devices > 0 && workers(machine) > machine.devices;
}

/// Tries all plans and keeps those that fit, and how much the others lack.
class Search {
  public:
    Search(const problem& problem, const machine& machine, const plan_request& request)
        : problem_(problem), machine_(machine), request_(request) {
        divisions_ = candidate_divisions(problem, request, machine.alignment);
        if (!has_cpu_beside_gpus(machine)) {
            try_orders(interleaves());
            return;
        }
        // GPUs that a CPU helps are so slow that the bus hardly matters: short strips cost little,
        // but one too few leaves a worker without.
        for (const std::int64_t interleave : interleaves()) {
            if (found.empty()) try_orders({interleave});
        }
    }

    std::vector<candidate> found;
    std::int64_t device_bytes_missing = std::numeric_limits<std::int64_t>::max();
    std::int64_t host_bytes_missing = std::numeric_limits<std::int64_t>::max();

  private:
    void try_orders(const std::vector<std::int64_t>& interleaves) {
        for (const auto order : {task_order::query_major, task_order::quorum_major}) {
            for (const division& division : divisions_) {
                if (division.order == order) try_division(division, interleaves);
            }
            // On a lone GPU the other order buys nothing, and at equal memory it moves states;
            // beside a CPU its short visits leave workers fewer tasks to choose from.
            if ((is_lone_gpu(machine_) || has_cpu_beside_gpus(machine_)) && !found.empty()) return;
        }
    }

    void try_division(const division& division, const std::vector<std::int64_t>& interleaves) {
        plan plan;
        plan.problem = problem_;
        plan.chunks = division.chunks;
        plan.difference_set = division.difference_set;
        plan.depth = division.depth;
        plan.order = division.order;
        std::vector<state_flow> flows;
        for (const auto flow : {state_flow::continued, state_flow::merged}) {
            if (allowed(division, flow)) flows.push_back(flow);
        }
        for (const std::int64_t interleave : interleaves) {
            plan.interleave = interleave;
            try_cuts(division, flows, plan);
        }
    }

    /// Two strips for each GPU, so that one computes while the other waits for its keys; one where
    /// memory is too short for that. A CPU waits for nothing.
    [[nodiscard]] std::vector<std::int64_t> interleaves() const {
        const std::int64_t one_each = workers(machine_);
        if (machine_.devices == 0) return {one_each};
        return {one_each + machine_.devices, one_each};
    }

    [[nodiscard]] bool allowed(const division& division, state_flow flow) const {
        if (request_.flow && *request_.flow != flow) return false;
        if (division.order == task_order::query_major) return flow == state_flow::continued;
        // Quorums that continue each other's states wait for each other.
        return request_.flow || flow == state_flow::merged || workers(machine_) == 1;
    }

    void try_cuts(const division& division, const std::vector<state_flow>& flows, plan& plan) {
        const bool quorum_major = division.order == task_order::quorum_major;
        const bool across = !quorum_major && request_.chunks && division.chunks > 1;
        cut_rules rules{.alignment = machine_.alignment,
                        .pieces_multiple =
                            quorum_major && !request_.strip_tokens ? plan.interleave : 1,
                        .most_blocks = 2,
                        .across_chunks = across,
                        .piece_tokens = request_.strip_tokens,
                        .block_tokens = request_.block_tokens};
        const auto strips = candidate_cuts(division, problem_.tokens, rules);
        rules.pieces_multiple = rules.most_blocks = 1;
        rules.piece_tokens = request_.segment_tokens;
        const auto segments = candidate_cuts(division, problem_.kv_tokens, rules);
        const bool free_cuts =
            !request_.strip_tokens && !request_.segment_tokens && !request_.block_tokens;
        const bool match = free_cuts && division.chunks > 1 && division.depth == 1 &&
                           problem_.tokens == problem_.kv_tokens;
        int strips_left = is_slow(division) ? feasible_slow_strips : feasible_strips;
        for (const side_cut& strip : strips) {
            if (strips_left == 0) break;
            bool fits = try_segments(division, flows, strip, segments, plan);
            if (match) {
                const auto matching = matching_cuts(division, strip, machine_.alignment);
                fits = try_segments(division, flows, strip, matching, plan) || fits;
            }
            if (fits) --strips_left;
        }
    }

    static bool is_slow(const division& division) {
        return division.depth > 1 || division.chunks > quickly_counted_chunks;
    }

    bool try_segments(const division& division, const std::vector<state_flow>& flows,
                      const side_cut& strip, const std::vector<side_cut>& segments, plan& plan) {
        // A whole quorum at once is one task; otherwise both sides are cut below the chunk.
        const bool mixed = request_.strip_tokens || request_.segment_tokens;
        plan.queries = strip.grid;
        plan.strip_blocks = strip.piece_blocks;
        bool fits = false;
        int segments_left = is_slow(division) ? feasible_slow_segments : feasible_segments;
        for (const side_cut& segment : segments) {
            if (segments_left == 0) break;
            if (!mixed && strip.whole_quorum != segment.whole_quorum) continue;
            plan.keys = segment.grid;
            plan.segment_blocks = segment.piece_blocks;
            if (!try_flows(flows, plan)) continue;
            fits = true;
            --segments_left;
        }
        return fits;
    }

    bool try_flows(const std::vector<state_flow>& flows, plan& plan) {
        std::optional<workload> work;
        for (const state_flow flow : flows) {
            plan.flow = flow;
            if (!fits(plan)) continue;
            if (!work) work = measure_workload(plan);
            candidate candidate;
            candidate.plan = plan;
            candidate.work = *work;
            candidate.plan.tasks = work->tasks;
            candidate.plan.merges = flow == state_flow::merged ? work->block_visits : 0;
            candidate.plan.predicted = predict(plan, machine_, *work);
            candidate.mean_task_seconds = mean_task_seconds(plan, machine_, *work);
            candidate.longest_task_seconds = longest_task_seconds(plan, machine_, *work);
            found.push_back(std::move(candidate));
        }
        return work.has_value();
    }

    bool fits(const plan& plan) {
        const double step_flops =
            static_cast<double>(flops_per_pair(problem_)) *
            static_cast<double>(plan.strip_blocks * plan.queries.block_tokens) *
            static_cast<double>(plan.segment_blocks * plan.keys.block_tokens);
        if (step_flops >= 0x1p63) return false;
        if (machine_.devices > 0) {
            const std::int64_t missing =
                device_working_set(plan, machine_).allocated_bytes - machine_.device_bytes;
            if (missing > 0) {
                device_bytes_missing = std::min(device_bytes_missing, missing);
                return false;
            }
        }
        const std::int64_t missing = host_bytes(plan, machine_) - machine_.host_bytes;
        if (missing > 0) host_bytes_missing = std::min(host_bytes_missing, missing);
        return missing <= 0;
    }

    const problem& problem_;
    const machine& machine_;
    const plan_request& request_;
    std::vector<division> divisions_;
};

[[noreturn]] void refuse(const Search& search, const machine& machine) {
    const auto sentence = [](const std::string& memory, std::int64_t budget, std::int64_t missing) {
        return "the smallest plan needs " + std::to_string(budget + missing) + " bytes of " +
               memory + " memory, but the budget is " + std::to_string(budget) +
               " bytes: " + std::to_string(missing) + " bytes are missing";
    };
    constexpr auto none = std::numeric_limits<std::int64_t>::max();
    // A plan that fits the device was stopped by the host's budget, if any was.
    if (search.host_bytes_missing != none) {
        throw Error(error_code::does_not_fit,
                    sentence("host", machine.host_bytes, search.host_bytes_missing));
    }
    if (search.device_bytes_missing != none) {
        throw Error(error_code::does_not_fit,
                    sentence("device", machine.device_bytes, search.device_bytes_missing));
    }
    throw Error(error_code::usage,
                "strip and segment tokens must make steps below 2^63 flops, but those asked for "
                "do not");
}

double predicted_seconds(const candidate& one) {
    return one.plan.predicted.seconds;
}

/// Drops the candidates that do not pass, if any does and the fastest of those that do takes no
/// more than (1 + most_loss) times as long as the fastest of all.
template<class Test>
void prefer(std::vector<candidate>& candidates, double most_loss, Test passes) {
    constexpr double never = std::numeric_limits<double>::infinity();
    double fastest = never;
    double fastest_passing = never;
    for (const candidate& one : candidates) {
        fastest = std::min(fastest, predicted_seconds(one));
        if (passes(one)) fastest_passing = std::min(fastest_passing, predicted_seconds(one));
    }
    if (fastest_passing == never || fastest_passing > (1 + most_loss) * fastest) return;
    std::erase_if(candidates, [&](const candidate& one) { return !passes(one); });
}

/// Quorums that could run in any order and anywhere: their partial states are merged.
std::int64_t independent_quorums(const candidate& one) {
    return one.plan.flow == state_flow::merged ? one.work.leaves : 1;
}

/// Quorums that own whole tasks, so that a task is a part of a subsequence attention.
std::int64_t visible_quorums(const candidate& one) {
    const plan& plan = one.plan;
    if (plan.order == task_order::quorum_major) return one.work.leaves;
    const bool within_chunks = plan.depth == 1 &&
                               plan.queries.chunk_blocks % plan.strip_blocks == 0 &&
                               plan.keys.chunk_blocks % plan.segment_blocks == 0;
    return within_chunks ? plan.chunks : 1;
}

bool has_equal_chunks(const candidate& one) {
    return one.plan.queries.chunk_blocks * one.plan.queries.block_tokens ==
           one.plan.keys.chunk_blocks * one.plan.keys.block_tokens;
}

/// Drops those slower than the fastest by more than the tolerance.
void keep_fast(std::vector<candidate>& candidates, double tolerance) {
    const double fastest = predicted_seconds(std::ranges::min(candidates, {}, predicted_seconds));
    std::erase_if(candidates, [&](const candidate& one) {
        return predicted_seconds(one) > (1 + tolerance) * fastest;
    });
}

/// Drops those that have less of something than the best.
template<class Property>
void keep_most(std::vector<candidate>& candidates, Property property) {
    const auto most = property(std::ranges::max(candidates, {}, property));
    std::erase_if(candidates, [&](const candidate& one) { return property(one) < most; });
}

/// Tokens of the blocks of both sides, blocks of a strip and of a segment, strips that take turns.
using cuts = std::array<std::int64_t, 5>;

cuts cuts_of(const plan& plan) {
    return {plan.queries.block_tokens, plan.strip_blocks, plan.keys.block_tokens,
            plan.segment_blocks, plan.interleave};
}

/// Puts the simulated seconds in the place of those of the closed form, which only tells the plans
/// that are worth it, and drops the others. False, and all seconds are as before, where even
/// the first takes too many steps, or where they are quorum-major.
bool simulate(std::vector<candidate>& candidates, const machine& machine) {
    if (candidates.front().plan.order == task_order::quorum_major) return false;
    std::ranges::sort(candidates, {}, predicted_seconds);
    const double fastest = predicted_seconds(candidates.front());
    const double most_steps = std::clamp(simulated_steps_per_second * fastest,
                                         least_simulated_steps, most_simulated_steps);
    double steps = 0;
    std::size_t simulated = 0;
    // Divisions often have cuts in common, and in query-major order the same steps with them.
    std::map<cuts, schedule> schedules;
    for (candidate& one : candidates) {
        if (predicted_seconds(one) > (1 + closed_form_error) * fastest) break;
        const auto [known, is_new] = schedules.try_emplace(cuts_of(one.plan));
        if (is_new) {
            steps += static_cast<double>(one.plan.tasks);
            if (steps > most_steps || schedules.size() > most_simulated_plans) break;
            known->second =
                simulate_schedule(one.plan, machine, device_residency(one.plan, machine));
        }
        one.plan.predicted.seconds = known->second.seconds;
        one.loaded_key_tokens = known->second.loaded_key_tokens;
        ++simulated;
    }
    if (simulated == 0) return false;
    candidates.erase(candidates.begin() + static_cast<std::ptrdiff_t>(simulated), candidates.end());
    return true;
}

} // namespace

plan make_plan(const problem& problem, const machine& machine, const plan_request& request) {
    check_problem(problem);
    check_machine(machine);
    check_request(request);
    Search search(problem, machine, request);
    auto& candidates = search.found;
    if (candidates.empty()) refuse(search, machine);

    const rates& rates = machine.devices > 0 ? machine.device_rates : machine.cpu_rates;
    const auto fewest_tasks = std::ranges::min(candidates, {}, [](const candidate& one) {
                                  return one.plan.tasks;
                              }).plan.tasks;
    const bool all_short = std::ranges::none_of(candidates, [&](const candidate& one) {
        return one.mean_task_seconds >= rates.shortest_task_seconds;
    });
    const double most_loss = machine.devices > 0 ? length_loss : cpu_length_loss;
    prefer(candidates, most_loss, [&](const candidate& one) {
        return all_short ? one.plan.tasks == fewest_tasks
                         : one.mean_task_seconds >= rates.shortest_task_seconds;
    });
    prefer(candidates, length_loss, [&](const candidate& one) {
        return one.longest_task_seconds <= rates.longest_task_seconds;
    });
    const bool lone_gpu = is_lone_gpu(machine);
    const bool simulated = lone_gpu && simulate(candidates, machine);
    if (!lone_gpu) { // which independent quorums buy nothing
        keep_fast(candidates, request.tolerance);
        keep_most(candidates, independent_quorums);
    }
    keep_fast(candidates, std::min(request.tolerance, simulated ? same_simulated_time : same_time));
    keep_most(candidates, visible_quorums);
    keep_most(candidates, has_equal_chunks);
    const candidate& best = *std::ranges::min_element(candidates, {}, predicted_seconds);
    plan chosen = best.plan;
    // The closed form is exact for segments of one block in query-major order, but for what a lone
    // GPU keeps of the next keys.
    const bool exact = chosen.order == task_order::query_major && chosen.segment_blocks == 1;
    if (simulated) {
        const residency kept = device_residency(chosen, machine);
        chosen.predicted.h2d_bytes =
            predict_traffic(chosen, machine, best.work, kept, best.loaded_key_tokens).h2d();
    } else if (machine.devices > 0 && !exact &&
               chosen.tasks * chosen.segment_blocks <= quickly_simulated_keys) {
        chosen.predicted = predict_by_simulation(chosen, machine, best.work);
    }
    chosen.measured_rates = rates.measured;
    return chosen;
}

} // namespace cqsa
