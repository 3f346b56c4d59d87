// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/tool/command_line.hpp"

namespace cqsa::tool {

// Each command: results and reports asked for go to stdout or files, everything else to stderr.
// Throws Error.

void run_attend(const request& request);
void run_plan(const request& request);
void run_calibrate(const request& request);
void run_doctor(const request& request);

} // namespace cqsa::tool
