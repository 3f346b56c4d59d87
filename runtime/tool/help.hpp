// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/tool/command_line.hpp"

#include <span>
#include <string>
#include <string_view>

namespace cqsa::tool {

/// One line of the help, which may stand for several options that go together.
struct option_text {
    std::string_view group;
    std::string_view names;    ///< "--q, --k, --v"
    std::string_view argument; ///< "FILE", empty for a flag
    std::string_view summary;  ///< the line of --help
    std::string_view details;  ///< the paragraph of --help-all
};

/// The options of attend and plan.
std::span<const option_text> attention_options();
/// The options of calibrate.
std::span<const option_text> calibration_options();
/// The options of doctor.
std::span<const option_text> doctor_options();

std::string program_help();             ///< cqsa --help
std::string help_of(command command);   ///< cqsa COMMAND --help: one screen
std::string manual_of(command command); ///< cqsa COMMAND --help-all: everything

} // namespace cqsa::tool
