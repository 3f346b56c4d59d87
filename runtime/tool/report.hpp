// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/attend.hpp"
#include "runtime/calibrate.hpp"
#include "runtime/doctor.hpp"
#include "runtime/tool/error_bound.hpp"

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace cqsa::tool {

/// A JSON object whose keys keep their order.
using json = nlohmann::ordered_json;

// The report of --json. Names, types and units of what schema 1 has do not change; later versions
// of the tool may add keys. Numbers that are not finite are null.

/// schema, version, problem, plan, predicted.
json json_of(const plan& plan);
/// The same, with measured, verify (null when not asked for), workers and warning (null: none).
json json_of(const attend_report& report, const std::optional<verification>& verified);
/// schema, version, processors.
json json_of(const std::vector<processor_calibration>& measured);
json json_of(const machine_report& machine);

// Lines for people.

/// "1 x 8 heads x 65 536 tokens x 64, bf16, causal".
std::string text_of(const problem& problem);
/// "7 chunks in quorums of 3, query-major; strips of 16 384 x segments of 4 096 tokens; 57 tasks".
std::string text_of(const plan& plan);
/// "1.21 s, 228 GFLOP/s, device memory 160 MiB, main memory 12 MiB beside the arrays".
std::string text_of(const cost& measured);
/// "64 rows: relative error 1.6e-3 (at most 4.0e-3), lse error 4e-7 (at most 5e-5)".
std::string text_of(const verification& verified, const error_bound& bound);
std::string text_of(const std::vector<processor_calibration>& measured);
std::string text_of(const machine_report& machine);

/// Writes a report to the file, or to stdout for "-". Throws Error(failure).
void write_report(const std::string& path, const json& report);

} // namespace cqsa::tool
