// SPDX-License-Identifier: Apache-2.0
#include "plan_checker.hpp"

#include "planner/divide.hpp"
#include "planner/step_stream.hpp"

#include <algorithm>
#include <set>
#include <sstream>
#include <utility>

namespace cqsa::test {
namespace {

/// Visible pairs of a query block and a key block, row by row.
std::int64_t visible_between(const plan& plan, std::int64_t query, std::int64_t key) {
    std::int64_t count = 0;
    const std::int64_t first_key = plan.keys.begin(key);
    for (std::int64_t i = 0; i < plan.queries.size(query); ++i) {
        const std::int64_t row = plan.queries.begin(query) + i;
        const std::int64_t end = plan.problem.mask == mask_rule::none
                                     ? plan.problem.kv_tokens
                                     : row + plan.problem.causal_offset() + 1;
        count += std::clamp<std::int64_t>(end - first_key, 0, plan.keys.size(key));
    }
    return count;
}

class Checker {
  public:
    explicit Checker(const plan& plan)
        : plan_(plan), divide_(QuorumSystem(plan.chunks, plan.difference_set), plan.depth,
                               plan.queries.blocks(), plan.keys.blocks()),
          computed_(plan.queries.blocks() * plan.keys.blocks(), false),
          touched_(plan.queries.blocks(), false), finalized_(plan.queries.blocks(), false),
          last_update_(plan.queries.blocks(), -1) {}

    plan_check run() {
        step_stream steps(plan_);
        while (const auto step = steps.next()) {
            switch (step->kind) {
            case step_kind::attend:
                attend(*step);
                break;
            case step_kind::merge:
                merge(*step);
                break;
            case step_kind::finalize:
                finalize(*step);
                break;
            }
            ++index_;
            if (!result_.problem.empty()) return result_;
        }
        at_end();
        return result_;
    }

  private:
    void expect(bool truth, const std::string& what) {
        if (!truth && result_.problem.empty()) {
            result_.problem = "step " + std::to_string(index_) + ": " + what;
        }
    }

    void attend(const step& step) {
        auto& totals = result_.totals;
        ++totals.tasks;
        attend_index_ = index_;
        const std::size_t width = step.keys.size();
        expect(!step.queries.empty() && width > 0, "an attend step is empty");
        expect(std::cmp_less_equal(step.queries.size(), plan_.strip_blocks), "strip");
        expect(std::cmp_less_equal(width, plan_.segment_blocks), "segment");
        expect(step.pairs.size() == step.queries.size() * width, "size of pairs");
        expect(step.fresh.size() == step.queries.size(), "size of fresh");
        const auto strictly = std::ranges::less_equal{};
        expect(std::ranges::is_sorted(step.queries, strictly), "queries do not ascend");
        expect(std::ranges::is_sorted(step.keys, strictly), "keys do not ascend");
        expect(step.partial == (plan_.flow == state_flow::merged), "partial");
        enter_visit(step.strip);
        if (!result_.problem.empty()) return;

        std::int64_t pairs = 0;
        std::set<std::int64_t> owners;
        std::vector<bool> used(width, false);
        for (std::size_t q = 0; q < step.queries.size(); ++q) {
            bool any = false;
            for (std::size_t k = 0; k < width; ++k) {
                const pair_kind kind = step.pairs[q * width + k];
                if (kind == pair_kind::none) continue;
                any = used[k] = true;
                const std::int64_t visible = pair(step.queries[q], step.keys[k], kind);
                pairs += visible;
                owners.insert(divide_.owner(step.queries[q], step.keys[k]));
                totals.quorum_flops[*owners.begin()] += visible * 4 * plan_.problem.head_dim *
                                                        plan_.problem.heads * plan_.problem.batch;
            }
            expect(any, "a query block without a pair");
            update(step, q);
        }
        expect(std::ranges::find(used, false) == used.end(), "a key block without a pair");
        const std::int64_t quorum = owners.size() == 1 ? *owners.begin() : -1;
        expect(step.quorum == quorum, "quorum");
        expect(plan_.order == task_order::query_major || quorum >= 0, "pairs of several quorums");
        expect(step.flops ==
                   pairs * 4 * plan_.problem.head_dim * plan_.problem.heads * plan_.problem.batch,
               "flops");
        totals.flops += static_cast<double>(step.flops);
        totals.most_partials = std::max(totals.most_partials, partial_tokens_);
        totals.most_states = std::max(totals.most_states, state_tokens_);
    }

    std::int64_t pair(std::int64_t query, std::int64_t key, pair_kind kind) {
        auto done = computed_[query * plan_.keys.blocks() + key];
        expect(!done, "a pair is computed twice");
        computed_[query * plan_.keys.blocks() + key] = true;
        const std::int64_t visible = visible_between(plan_, query, key);
        const bool all = visible == plan_.queries.size(query) * plan_.keys.size(key);
        expect(visible > 0, "a masked pair is computed");
        expect(kind == (all ? pair_kind::dense : pair_kind::causal), "kind of pair");
        return visible;
    }

    void update(const step& step, std::size_t q) {
        const std::int64_t block = step.queries[q];
        expect(!finalized_[block], "a block is updated after its finalize");
        last_update_[block] = index_;
        if (!step.partial) {
            expect(step.fresh[q] == !touched_[block], "fresh");
            if (!touched_[block]) state_tokens_ += plan_.queries.size(block);
            touched_[block] = true;
            return;
        }
        const auto known = partials_.find(block);
        expect(step.fresh[q] == (known == partials_.end()), "fresh of a partial");
        if (known == partials_.end()) {
            partials_[block] = {step.quorum, step.strip};
            partial_tokens_ += plan_.queries.size(block);
        } else {
            expect(known->second.first == step.quorum, "a partial of two quorums");
            expect(known->second.second == step.strip, "a partial of two strips");
        }
    }

    void enter_visit(std::int64_t strip) {
        expect(strip >= 0 && strip <= result_.totals.visits, "visits are not numbered in order");
        if (strip == result_.totals.visits) ++result_.totals.visits;
        last_of_visit_[strip] = index_;
        first_of_visit_.try_emplace(strip, index_);
    }

    void follow(const step& step, const std::string& what) {
        expect(step.queries.size() == 1 && step.fresh.size() == 1, what + " of one block");
        expect(step.keys.empty() && step.pairs.empty() && step.flops == 0, what + " has pairs");
        expect(!step.partial, what + " is partial");
    }

    void merge(const step& step) {
        ++result_.totals.merges;
        follow(step, "merge");
        if (!result_.problem.empty()) return;
        const std::int64_t block = step.queries[0];
        expect(!finalized_[block], "a block is merged after its finalize");
        const auto partial = partials_.find(block);
        expect(partial != partials_.end(), "merge of no partial");
        if (!result_.problem.empty()) return;
        expect(partial->second.first == step.quorum, "quorum of a merge");
        expect(partial->second.second == step.strip, "strip of a merge");
        // Everything between the last update and the merge follows the same attend step.
        expect(last_update_[block] == attend_index_, "a merge comes late");
        partials_.erase(partial);
        partial_tokens_ -= plan_.queries.size(block);
        expect(step.fresh[0] == !touched_[block], "fresh of a merge");
        if (!touched_[block]) state_tokens_ += plan_.queries.size(block);
        result_.totals.most_states = std::max(result_.totals.most_states, state_tokens_);
        touched_[block] = true;
        last_update_[block] = attend_index_;
    }

    void finalize(const step& step) {
        follow(step, "finalize");
        if (!result_.problem.empty()) return;
        const std::int64_t block = step.queries[0];
        expect(!finalized_[block], "a block is finalized twice");
        expect(step.quorum == -1, "quorum of a finalize");
        expect(step.fresh[0] == !touched_[block], "fresh of a finalize");
        expect(!partials_.contains(block), "finalize before merge");
        if (touched_[block]) {
            expect(last_update_[block] == attend_index_, "a finalize comes late");
            state_tokens_ -= plan_.queries.size(block);
        } else {
            expect(step.strip == 0 && attend_index_ < 0, "an idle block's finalize is not first");
        }
        finalized_[block] = true;
    }

    void at_end() {
        expect(partials_.empty(), "partials are left");
        expect(std::ranges::find(finalized_, false) == finalized_.end(), "a block has no finalize");
        for (std::int64_t q = 0; q < plan_.queries.blocks(); ++q) {
            for (std::int64_t k = 0; k < plan_.keys.blocks(); ++k) {
                if (computed_[q * plan_.keys.blocks() + k]) continue;
                expect(visible_between(plan_, q, k) == 0, "a visible pair is left out");
            }
        }
        // No more visits than `interleave` are open at a time.
        for (const auto& [strip, first] : first_of_visit_) {
            const auto before = last_of_visit_.find(strip - plan_.interleave);
            expect(before == last_of_visit_.end() || before->second < first,
                   "too many open visits");
        }
    }

    const plan& plan_;
    Divide divide_;
    plan_check result_;
    std::int64_t index_ = 0;
    std::int64_t attend_index_ = -1;
    std::int64_t state_tokens_ = 0;
    std::int64_t partial_tokens_ = 0;
    std::vector<bool> computed_;
    std::vector<bool> touched_;
    std::vector<bool> finalized_;
    std::vector<std::int64_t> last_update_;
    std::map<std::int64_t, std::pair<std::int64_t, std::int64_t>> partials_; ///< quorum, strip
    std::map<std::int64_t, std::int64_t> first_of_visit_;
    std::map<std::int64_t, std::int64_t> last_of_visit_;
};

} // namespace

plan_check check_steps(const plan& plan) {
    return Checker(plan).run();
}

bool sees(const problem& problem, std::int64_t r, std::int64_t t) {
    switch (problem.mask) {
    case mask_rule::none:
        return true;
    case mask_rule::causal_top_left:
        return t <= r;
    case mask_rule::causal_bottom_right:
        return t <= r + problem.kv_tokens - problem.tokens;
    }
    return false;
}

std::vector<int> count_token_pairs(const plan& plan) {
    std::vector<int> count(plan.problem.tokens * plan.problem.kv_tokens, 0);
    step_stream steps(plan);
    while (const auto step = steps.next()) {
        for (std::size_t i = 0; i < step->pairs.size(); ++i) {
            if (step->pairs[i] == pair_kind::none) continue;
            const std::int64_t query = step->queries[i / step->keys.size()];
            const std::int64_t key = step->keys[i % step->keys.size()];
            for (std::int64_t r = 0; r < plan.queries.size(query); ++r) {
                for (std::int64_t t = 0; t < plan.keys.size(key); ++t) {
                    const std::int64_t row = plan.queries.begin(query) + r;
                    const std::int64_t column = plan.keys.begin(key) + t;
                    if (step->pairs[i] == pair_kind::causal && !sees(plan.problem, row, column)) {
                        continue;
                    }
                    ++count[row * plan.problem.kv_tokens + column];
                }
            }
        }
    }
    return count;
}

std::string to_text(const plan& plan) {
    std::ostringstream text;
    text << "tokens " << plan.problem.tokens << " x " << plan.problem.kv_tokens << ", mask "
         << static_cast<int>(plan.problem.mask) << ", c " << plan.chunks << ", depth " << plan.depth
         << ", order " << static_cast<int>(plan.order) << ", flow " << static_cast<int>(plan.flow)
         << ", blocks of " << plan.queries.block_tokens << " and " << plan.keys.block_tokens
         << ", strip " << plan.strip_blocks << ", segment " << plan.segment_blocks
         << ", interleave " << plan.interleave;
    return text.str();
}

} // namespace cqsa::test
