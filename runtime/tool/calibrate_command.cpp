// SPDX-License-Identifier: Apache-2.0
#include "runtime/calibrate.hpp"
#include "runtime/tool/commands.hpp"
#include "runtime/tool/progress_line.hpp"
#include "runtime/tool/report.hpp"
#include "runtime/tool/signals.hpp"
#include "runtime/tool/streams.hpp"

#include <cstdio>

namespace cqsa::tool {

void run_calibrate(const request& request) {
    const GracefulStop stop;
    ProgressLine line(request.quiet, request.verbose);
    calibrate_options options;
    options.types = request.calibrated_types;
    options.head_dims = request.calibrated_head_dims;
    options.workers = request.options.workers;
    options.device_bytes = request.options.device_bytes;
    options.on_step = [&](const std::string& what) { line.show("measuring " + what); };
    options.stop_requested = [] { return GracefulStop::requested() != 0; };
    const std::vector<processor_calibration> measured = calibrate(options);
    line.wipe();
    if (!request.json.empty()) write_report(request.json, json_of(measured));
    if (request.json == "-") return;
    std::fputs(text_of(measured).c_str(), stdout);
    flush_stdout();
}

} // namespace cqsa::tool
