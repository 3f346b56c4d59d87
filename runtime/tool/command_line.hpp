// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/plan.hpp"
#include "runtime/attend.hpp"
#include "runtime/files/array_file.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace cqsa::tool {

enum class command : std::uint8_t { attend, plan, calibrate, doctor };

/// What the user asked for, checked as far as it can be without looking at any file.
struct request {
    tool::command command = command::attend;

    // Where q, k and v come from: three .npy files, one .safetensors file, or a generator.
    std::array<std::string, 3> arrays; ///< all set, or none
    std::string input;
    std::optional<std::array<std::int64_t, 4>> random;
    std::optional<std::int64_t> kv_heads;
    std::optional<std::int64_t> kv_tokens;
    std::uint64_t seed = 0;
    std::optional<data_type> type;
    files::axis_order order = files::axis_order::bhnd;

    std::string out;
    std::string lse;
    std::optional<data_type> out_type;

    attend_options options; ///< calibrate: workers and device_bytes
    std::vector<data_type> calibrated_types;
    std::vector<std::int64_t> calibrated_head_dims;
    std::optional<std::int64_t> verify_rows;
    std::string json; ///< a path, "-" for stdout, empty for none
    bool quiet = false;
    bool verbose = false;
};

/// A request, or a text that the user asked for instead (--help, --help-all, --version).
struct parsed_line {
    std::optional<tool::request> request;
    std::string text;
};

/// Parses the arguments behind the program's name. Throws Error(usage) with one sentence.
parsed_line parse(std::vector<std::string> arguments);

} // namespace cqsa::tool
