// SPDX-License-Identifier: Apache-2.0
#include "planner/describe.hpp"
#include "runtime/tool/commands.hpp"
#include "runtime/tool/operands.hpp"
#include "runtime/tool/report.hpp"
#include "runtime/tool/streams.hpp"

#include <cstdio>

namespace cqsa::tool {

void run_plan(const request& request) {
    const input_set inputs = open_inputs(request);
    check_output_names(request, inputs);
    const plan plan = plan_attention(inputs.problem, request.options);
    if (!request.json.empty()) write_report(request.json, json_of(plan));
    if (request.json == "-") return;
    std::fputs(describe(plan).c_str(), stdout);
    flush_stdout();
}

} // namespace cqsa::tool
