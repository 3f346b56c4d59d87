// SPDX-License-Identifier: Apache-2.0
#include "runtime/tool/commands.hpp"
#include "runtime/tool/report.hpp"
#include "runtime/tool/streams.hpp"

#include <cstdio>

namespace cqsa::tool {

void run_doctor(const request& request) {
    const machine_report machine = describe_machine();
    if (!request.json.empty()) write_report(request.json, json_of(machine));
    if (request.json == "-") return;
    std::fputs(text_of(machine).c_str(), stdout);
    flush_stdout();
}

} // namespace cqsa::tool
