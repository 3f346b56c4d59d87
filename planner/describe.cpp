// SPDX-License-Identifier: Apache-2.0
#include "planner/describe.hpp"

#include "planner/block_bytes.hpp"
#include "planner/divide.hpp"
#include "planner/visibility.hpp"

#include <array>
#include <cmath>
#include <iomanip>
#include <sstream>
#include <string_view>

namespace cqsa {
namespace {

constexpr std::int64_t mapped_chunks = 40;
// Chunks and quorums have numbers below mapped_chunks, in one letter each.
constexpr std::string_view symbols = "0123456789abcdefghijklmnopqrstuvwxyzABCD";
static_assert(symbols.size() == mapped_chunks);
constexpr std::size_t listed_elements = 12;
constexpr int name_width = 16;

std::string three_digits(double value) {
    const int decimals = value < 10 ? 2 : value < 100 ? 1 : 0;
    std::ostringstream text;
    text << std::fixed << std::setprecision(decimals) << value;
    return text.str();
}

std::string duration(double seconds) {
    if (seconds < 1e-3) return three_digits(seconds * 1e6) + " us";
    if (seconds < 1) return three_digits(seconds * 1e3) + " ms";
    if (seconds < 600) return three_digits(seconds) + " s";
    if (seconds < 36'000) return three_digits(seconds / 60) + " min";
    return three_digits(seconds / 3'600) + " h";
}

std::string work_for_people(double flops) {
    constexpr std::array<std::string_view, 8> units = {"",      " kilo", " mega", " giga",
                                                       " tera", " peta", " exa",  " zetta"};
    std::size_t unit = 0;
    for (; flops >= 1'000 && unit + 1 < units.size(); ++unit)
        flops /= 1'000;
    return three_digits(flops) + (unit == 0 ? " " : std::string(units[unit])) + "flop";
}

std::string mask_for_people(const problem& p) {
    switch (p.mask) {
    case mask_rule::none:
        return "every key visible";
    case mask_rule::causal_top_left:
        return "causal";
    case mask_rule::causal_bottom_right:
        return "causal, aligned at the bottom right";
    }
    return "";
}

class Table {
  public:
    void row(std::string_view name, const std::string& value) {
        text_ << std::left << std::setw(name_width) << name << value << '\n';
    }
    [[nodiscard]] std::string text() const { return text_.str(); }

  private:
    std::ostringstream text_;
};

std::string elements(const std::vector<std::int64_t>& set) {
    std::string text = "{";
    for (std::size_t i = 0; i < set.size() && i < listed_elements; ++i) {
        if (i > 0) text += ", ";
        text += std::to_string(set[i]);
    }
    if (set.size() > listed_elements) text += ", ...";
    return text += '}';
}

void add_problem(Table& table, const problem& p) {
    std::string tensors = std::to_string(p.batch);
    tensors += " x ";
    tensors += std::to_string(p.heads);
    tensors += " heads x ";
    tensors += grouped(p.tokens);
    tensors += " tokens x ";
    tensors += std::to_string(p.head_dim);
    tensors += ", ";
    tensors += name_of(p.type);
    table.row("queries", tensors);
    if (p.kv_heads != p.heads || p.kv_tokens != p.tokens) {
        table.row("keys",
                  std::to_string(p.kv_heads) + " heads x " + grouped(p.kv_tokens) + " tokens");
    }
    table.row("mask", mask_for_people(p));
}

void add_division(Table& table, const plan& plan) {
    const auto k = plan.difference_set.size();
    if (plan.chunks == 1) {
        table.row("division", "none: one chunk");
    } else {
        table.row("division", grouped(plan.chunks) + " quorums of " + std::to_string(k) +
                                  (k == 1 ? " chunk " : " chunks ") +
                                  elements(plan.difference_set));
    }
    if (plan.depth > 1) table.row("depth", std::to_string(plan.depth));
    if (plan.order == task_order::query_major) {
        table.row("order", "query-major: all tasks of a strip together");
    } else if (plan.flow == state_flow::continued) {
        table.row("order", "quorum-major: each quorum continues the states of the last");
    } else {
        table.row("order", "quorum-major: partial states are merged");
    }
}

void add_cuts(Table& table, const plan& plan) {
    const problem& p = plan.problem;
    const auto cut = [](const block_grid& grid, std::int64_t blocks) {
        return grouped(std::min(grid.tokens, blocks * grid.block_tokens));
    };
    if (plan.chunks > 1) {
        table.row("chunk", cut(plan.queries, plan.queries.chunk_blocks) + " queries, " +
                               cut(plan.keys, plan.keys.chunk_blocks) + " keys");
    }
    const std::int64_t queries = std::min(plan.queries.tokens, plan.queries.block_tokens);
    const std::int64_t keys = std::min(plan.keys.tokens, plan.keys.block_tokens);
    table.row("block", grouped(queries) + " queries (" +
                           bytes_for_people(query_block_bytes(p, queries)) + ", state " +
                           bytes_for_people(state_block_bytes(p, queries)) + "), " + grouped(keys) +
                           " keys (" + bytes_for_people(key_block_bytes(p, keys)) + ")");
    std::string strip = cut(plan.queries, plan.strip_blocks) + " queries";
    if (plan.interleave > 1) strip += ", " + std::to_string(plan.interleave) + " interleaved";
    table.row("strip", strip);
    table.row("segment", cut(plan.keys, plan.segment_blocks) + " keys");
}

void add_cost(Table& table, const plan& plan) {
    const cost& cost = plan.predicted;
    std::string tasks = grouped(plan.tasks) + " attend";
    if (plan.merges > 0) tasks += ", " + grouped(plan.merges) + " merge";
    table.row("tasks", tasks + ", " + grouped(plan.queries.blocks()) + " finalize");
    table.row("work", work_for_people(cost.flops));
    if (cost.device_bytes > 0) {
        table.row("device memory", bytes_for_people(cost.device_bytes));
        table.row("host memory", bytes_for_people(cost.host_bytes));
        table.row("to the device", bytes_for_people(cost.h2d_bytes));
        table.row("from the device", bytes_for_people(cost.d2h_bytes));
    } else {
        table.row("host memory", bytes_for_people(cost.host_bytes));
    }
    const char* rates = plan.measured_rates ? "" : ", if rates are as assumed (see calibrate)";
    table.row("predicted time", duration(cost.seconds) + rates);
}

std::string map_of_owners(const plan& plan) {
    const QuorumSystem quorums(plan.chunks, plan.difference_set);
    const Visibility visibility(plan.problem, plan.queries, plan.keys);
    const auto chunks_of = [](const block_grid& grid) {
        return (grid.blocks() + grid.chunk_blocks - 1) / grid.chunk_blocks;
    };
    const std::int64_t rows = chunks_of(plan.queries);
    const std::int64_t columns = chunks_of(plan.keys);
    std::ostringstream text;
    text << "owner of each pair of a query chunk (row) and a key chunk (column)";
    if (plan.chunks > 10) {
        text << ",\nnumbers from 10 on as letters: " << symbols[10] << " is 10, "
             << symbols[plan.chunks - 1] << " is " << plan.chunks - 1;
    }
    text << ":\n     ";
    for (std::int64_t j = 0; j < columns; ++j)
        text << ' ' << symbols[j];
    text << '\n';
    for (std::int64_t i = 0; i < rows; ++i) {
        const std::int64_t last =
            std::min(plan.queries.blocks(), (i + 1) * plan.queries.chunk_blocks);
        const std::int64_t visible = visibility.visible_blocks(last - 1);
        text << "   " << symbols[i] << ' ';
        for (std::int64_t j = 0; j < columns; ++j) {
            const bool seen = j * plan.keys.chunk_blocks < visible;
            text << ' ' << (seen ? symbols[quorums.owner(i, j)] : '.');
        }
        text << '\n';
    }
    return text.str();
}

} // namespace

std::string grouped(std::int64_t number) {
    std::string digits = std::to_string(number);
    const std::ptrdiff_t first = number < 0 ? 1 : 0;
    for (auto place = static_cast<std::ptrdiff_t>(digits.size()) - 3; place > first; place -= 3) {
        digits.insert(digits.begin() + place, ' ');
    }
    return digits;
}

std::string bytes_for_people(std::int64_t bytes) {
    constexpr std::array<std::string_view, 7> units = {"B",   "KiB", "MiB", "GiB",
                                                       "TiB", "PiB", "EiB"};
    if (bytes < 1'024) return std::to_string(bytes) + " B";
    auto value = static_cast<double>(bytes);
    std::size_t unit = 0;
    for (; value >= 1'024 && unit + 1 < units.size(); ++unit)
        value /= 1'024;
    return three_digits(value) + " " + std::string(units[unit]);
}

std::string describe(const plan& plan) {
    Table table;
    add_problem(table, plan.problem);
    add_division(table, plan);
    add_cuts(table, plan);
    add_cost(table, plan);
    std::string text = table.text();
    if (plan.chunks > 1 && plan.queries.tokens > 0 && plan.keys.tokens > 0) {
        text += '\n';
        text += plan.chunks <= mapped_chunks ? map_of_owners(plan)
                                             : "no map of owners: it is drawn for at most " +
                                                   std::to_string(mapped_chunks) + " chunks\n";
    }
    return text;
}

} // namespace cqsa
