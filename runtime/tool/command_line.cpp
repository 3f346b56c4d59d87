// SPDX-License-Identifier: Apache-2.0
#include "runtime/tool/command_line.hpp"

#include "runtime/files/text.hpp"
#include "runtime/tool/help.hpp"
#include "runtime/tool/quantities.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <numeric>
#include <string_view>
#include <utility>

namespace cqsa::tool {
namespace {

[[noreturn]] void reject(const std::string& sentence) {
    throw Error(error_code::usage, sentence);
}

/// What the options of attend and plan say, as text: only our own parsers see values, so that only
/// our own sentences come out.
struct option_values {
    std::map<std::string, std::string> given; ///< by name: "--seed"
    bool causal = false;
    bool quiet = false;
    bool verbose = false;

    [[nodiscard]] const std::string* find(const std::string& name) const {
        const auto found = given.find(name);
        return found == given.end() ? nullptr : &found->second;
    }
    [[nodiscard]] std::string text(const std::string& name) const {
        const std::string* value = find(name);
        return value == nullptr ? std::string() : *value;
    }
};

template<class Value>
Value choose(const std::string& option, const std::string& text,
             std::initializer_list<std::pair<std::string_view, Value>> choices) {
    std::string names;
    for (const auto& [name, value] : choices) {
        if (text == name) return value;
        names += fmt::format("{}{}", names.empty() ? "" : ", ", name);
    }
    reject(fmt::format("{}: expected one of {}, but '{}' came", option, names,
                       files::printable(text, 60)));
}

data_type parse_type(const std::string& option, const std::string& text) {
    return choose<data_type>(option, text,
                             {{"f32", data_type::f32},
                              {"f16", data_type::f16},
                              {"bf16", data_type::bf16},
                              {"f64", data_type::f64}});
}

void take_inputs(const option_values& values, request& out) {
    out.arrays = {values.text("--q"), values.text("--k"), values.text("--v")};
    out.input = values.text("--input");
    const auto files = std::count_if(out.arrays.begin(), out.arrays.end(),
                                     [](const std::string& path) { return !path.empty(); });
    const int sources = (files > 0 ? 1 : 0) + (values.find("--input") != nullptr ? 1 : 0) +
                        (values.find("--random") != nullptr ? 1 : 0);
    const std::string forms = "--q, --k and --v, or --input, or --random";
    if (sources == 0) reject("expected inputs: " + forms);
    if (sources > 1) reject("expected inputs from one source: " + forms);
    if (files > 0 && files < 3) reject("expected all three of --q, --k and --v");

    if (const auto* text = values.find("--dtype")) out.type = parse_type("--dtype", *text);
    if (const auto* text = values.find("--layout"))
        out.order = choose<files::axis_order>(
            "--layout", *text,
            {{"bhnd", files::axis_order::bhnd}, {"bnhd", files::axis_order::bnhd}});

    const auto* random = values.find("--random");
    for (const std::string option : {"--seed", "--kv-heads", "--kv-tokens"})
        if (random == nullptr && values.find(option) != nullptr)
            reject(option + " goes with --random only");
    if (random == nullptr) return;
    out.random = parse_shape("--random", *random);
    if (const auto* text = values.find("--seed")) out.seed = parse_seed("--seed", *text);
    if (const auto* text = values.find("--kv-heads"))
        out.kv_heads = parse_count("--kv-heads", *text, 1);
    if (const auto* text = values.find("--kv-tokens"))
        out.kv_tokens = parse_count("--kv-tokens", *text, 0);
}

void take_processors(const option_values& values, attend_options& options) {
    if (const auto* text = values.find("--device-memory"))
        options.device_bytes = parse_bytes("--device-memory", *text);
    if (const auto* text = values.find("--workers"))
        options.workers = choose<worker_set>(
            "--workers", *text,
            {{"cpu", worker_set::cpu}, {"cuda", worker_set::cuda}, {"all", worker_set::all}});
}

void take_options(const option_values& values, request& out) {
    attend_options& options = out.options;
    const auto* align = values.find("--causal-align");
    if (align != nullptr && !values.causal) reject("--causal-align goes with --causal only");
    if (values.causal) options.mask = mask_rule::causal_top_left;
    if (align != nullptr)
        options.mask = choose<mask_rule>("--causal-align", *align,
                                         {{"top-left", mask_rule::causal_top_left},
                                          {"bottom-right", mask_rule::causal_bottom_right}});
    if (const auto* text = values.find("--scale")) options.scale = parse_number("--scale", *text);
    take_processors(values, options);
    if (const auto* text = values.find("--host-memory"))
        options.host_bytes = parse_bytes("--host-memory", *text);
    if (const auto* text = values.find("--chunks"))
        options.chunks = parse_count("--chunks", *text, 1);
    if (const auto* text = values.find("--depth")) {
        const std::int64_t depth = parse_count("--depth", *text, 1);
        if (depth > 64) reject("--depth: expected at most 64, but '" + *text + "' came");
        options.depth = static_cast<int>(depth);
    }
    if (const auto* text = values.find("--order"))
        options.order = choose<task_order>(
            "--order", *text,
            {{"quorum", task_order::quorum_major}, {"query", task_order::query_major}});
    options.trace_directory = values.text("--trace");
}

std::vector<std::string> parts_of(const std::string& text) {
    std::vector<std::string> parts;
    std::size_t begin = 0;
    for (std::size_t comma = 0; comma != std::string::npos; begin = comma + 1) {
        comma = text.find(',', begin);
        parts.push_back(text.substr(begin, comma - begin));
    }
    return parts;
}

void take_calibration(const option_values& values, request& out) {
    out.calibrated_types = {data_type::bf16};
    out.calibrated_head_dims = {64, 128};
    if (const auto* text = values.find("--dtype")) {
        out.calibrated_types.clear();
        for (const std::string& part : parts_of(*text))
            out.calibrated_types.push_back(parse_type("--dtype", part));
    }
    if (const auto* text = values.find("--head-dim")) {
        out.calibrated_head_dims.clear();
        for (const std::string& part : parts_of(*text)) {
            const std::int64_t dim = parse_count("--head-dim", part, 1);
            if (dim > 256) reject("--head-dim: expected at most 256, but '" + part + "' came");
            out.calibrated_head_dims.push_back(dim);
        }
    }
    take_processors(values, out.options);
}

void take_outputs(const option_values& values, request& out) {
    out.out = values.text("--out");
    out.lse = values.text("--lse");
    out.json = values.text("--json");
    if (const auto* text = values.find("--out-dtype"))
        out.out_type = parse_type("--out-dtype", *text);
    if (const auto* text = values.find("--verify"))
        out.verify_rows = parse_count("--verify", *text, 1);
    for (const std::string option : {"--out", "--lse", "--json", "--trace"})
        if (values.find(option) != nullptr && values.text(option).empty())
            reject(option + ": expected the name of a file, but '' came");
    out.quiet = values.quiet;
    out.verbose = values.verbose;
}

/// Levenshtein's distance.
std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), 0U);
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = row[j];
            row[j] = std::min({row[j] + 1, row[j - 1] + 1, change});
        }
    }
    return row.back();
}

/// " (did you mean --order?)", or nothing.
std::string suggestion(std::string_view word, const std::vector<std::string>& known) {
    const auto nearest = std::ranges::min_element(
        known, [&](auto& a, auto& b) { return distance(word, a) < distance(word, b); });
    if (nearest == known.end() ||
        distance(word, *nearest) > std::max<std::size_t>(2, word.size() / 4))
        return "";
    return fmt::format(" (did you mean {}?)", *nearest);
}

/// The one sentence for arguments that CLI11 could not place.
[[noreturn]] void reject_rest(const CLI::App& app, const std::vector<std::string>& rest) {
    const std::string word = files::printable(rest.front(), 60);
    if (!word.starts_with('-')) reject(fmt::format("unexpected argument '{}'", word));
    std::vector<std::string> names;
    for (const CLI::Option* option : app.get_options())
        for (const std::string& name : option->get_lnames())
            names.push_back("--" + name);
    const std::string name = word.substr(0, word.find('='));
    reject(fmt::format("unknown option {}{}", name, suggestion(name, names)));
}

/// CLI11's own complaints in our words.
[[noreturn]] void reject_error(const CLI::ParseError& error) {
    const std::string what = error.what();
    const std::string option = what.substr(0, what.find(':'));
    if (error.get_name() == "ArgumentMismatch" && what.find("missing") != std::string::npos)
        reject(option + ": expected a value, but none came");
    if (what.find("flag override") != std::string::npos)
        reject(fmt::format("--{}: expected no value, but one came",
                           what.substr(0, what.find_first_of(" ="))));
    if (error.get_name() == "ArgumentMismatch")
        reject(option + ": expected one value, but the option came more than once");
    reject(files::printable(what.substr(0, what.find('\n'))));
}

class CommandParser {
  public:
    CommandParser() {
        app_.set_help_flag("-h,--help");
        app_.add_flag("--version", version_);
        app_.allow_extras();
        app_.require_subcommand(-1); // at most one
        for (auto* app : {attend_, plan_}) {
            for (const option_text& text : attention_options())
                add(*app, text);
            finish(*app);
        }
        for (const option_text& text : calibration_options())
            add(*calibrate_, text);
        finish(*calibrate_);
        for (const option_text& text : doctor_options())
            add(*doctor_, text);
        finish(*doctor_);
    }

    parsed_line parse(std::vector<std::string> arguments) {
        std::ranges::reverse(arguments); // CLI11 takes them from the back
        try {
            app_.parse(arguments);
        } catch (const CLI::CallForHelp&) {
            return {std::nullopt, chosen() == nullptr ? program_help() : help_of(*chosen())};
        } catch (const CLI::CallForAllHelp&) {
            return {std::nullopt, manual_of(chosen() == nullptr ? command::attend : *chosen())};
        } catch (const CLI::ParseError& error) {
            reject_error(error);
        }
        if (version_) return {std::nullopt, fmt::format("cqsa {}\n", CQSA_VERSION)};
        const std::vector<std::string> rest = app_.remaining();
        if (chosen() == nullptr) reject_command(rest);
        if (!rest.empty()) reject_rest(app_, rest);
        const CLI::App& app = *app_.get_subcommands().front();
        if (!app.remaining().empty()) reject_rest(app, app.remaining());

        request out;
        out.command = *chosen();
        if (out.command == command::calibrate) take_calibration(values_, out);
        if (out.command == command::attend || out.command == command::plan) {
            take_inputs(values_, out);
            take_options(values_, out);
        }
        take_outputs(values_, out);
        return {out, {}};
    }

  private:
    void add(CLI::App& app, const option_text& text) {
        if (text.names == "--causal") {
            app.add_flag("--causal", values_.causal)->disable_flag_override();
        } else if (text.names == "-q, --quiet") {
            app.add_flag("-q,--quiet", values_.quiet)->disable_flag_override();
        } else if (text.names == "-v, --verbose") {
            app.add_flag("-v,--verbose", values_.verbose)->disable_flag_override();
        } else {
            for (const std::string& name : CLI::detail::split(std::string(text.names), ',')) {
                const std::string option = CLI::detail::trim_copy(name);
                app.add_option_function<std::string>(
                    option, [this, option](const std::string& value) {
                        if (value.starts_with("--"))
                            reject(fmt::format("{}: expected a value, but '{}' came", option,
                                               files::printable(value, 60)));
                        values_.given[option] = value;
                    });
            }
        }
    }

    static void finish(CLI::App& app) {
        app.set_help_flag("-h,--help");
        app.set_help_all_flag("--help-all");
        app.allow_extras();
    }

    const command* chosen() {
        for (const auto& [app, command] : commands_)
            if (app->parsed()) return &command;
        return nullptr;
    }

    [[noreturn]] void reject_command(const std::vector<std::string>& rest) {
        if (rest.empty())
            reject("expected a command: attend, plan, calibrate or doctor (see cqsa --help)");
        if (rest.front().starts_with('-')) reject_rest(app_, rest);
        reject(fmt::format("unknown command '{}'{}", files::printable(rest.front(), 60),
                           suggestion(rest.front(), {"attend", "plan", "calibrate", "doctor"})));
    }

    CLI::App app_;
    CLI::App* attend_ = app_.add_subcommand("attend");
    CLI::App* plan_ = app_.add_subcommand("plan");
    CLI::App* calibrate_ = app_.add_subcommand("calibrate");
    CLI::App* doctor_ = app_.add_subcommand("doctor");
    std::vector<std::pair<CLI::App*, command>> commands_{{attend_, command::attend},
                                                         {plan_, command::plan},
                                                         {calibrate_, command::calibrate},
                                                         {doctor_, command::doctor}};
    option_values values_;
    bool version_ = false;
};

} // namespace

parsed_line parse(std::vector<std::string> arguments) {
    return CommandParser().parse(std::move(arguments));
}

} // namespace cqsa::tool
