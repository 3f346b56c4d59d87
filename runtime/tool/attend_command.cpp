// SPDX-License-Identifier: Apache-2.0
#include "runtime/files/text.hpp"
#include "runtime/gpu.hpp"
#include "runtime/tool/commands.hpp"
#include "runtime/tool/error_bound.hpp"
#include "runtime/tool/operands.hpp"
#include "runtime/tool/progress_line.hpp"
#include "runtime/tool/report.hpp"
#include "runtime/tool/signals.hpp"
#include "runtime/tool/streams.hpp"

#include <cmath>
#include <fmt/format.h>

namespace cqsa::tool {
namespace {

tensor read_only(const mutable_tensor& t) {
    return {t.data, t.type, t.shape, t.strides};
}

/// True when rounding explains the errors.
bool explained(const verification& verified, const error_bound& bound) {
    return (verified.max_abs_error == 0 || verified.rel_error <= bound.rel_error) &&
           verified.lse_max_abs_error <= bound.lse_abs_error;
}

struct verdict {
    verification verified;
    error_bound bound;
};

verdict verify_outputs(const request& request, const input_set& inputs, const OutputSet& outputs) {
    const auto& [q, k, v] = inputs.tensors;
    verdict out;
    out.verified = verify(q, k, v, read_only(outputs.out()), read_only(outputs.lse()),
                          request.options, *request.verify_rows);
    // Scores of a few units are what most data have; only larger errors are worth a pass over q and
    // k to learn how large the scores can be.
    constexpr double usual_score = 8;
    out.bound = bound_for(inputs.problem, usual_score);
    if (!explained(out.verified, out.bound)) {
        const double scale = request.options.scale.value_or(
            1 / std::sqrt(static_cast<double>(inputs.problem.head_dim)));
        out.bound = bound_for(inputs.problem, std::max(usual_score, largest_score(q, k, scale)));
    }
    return out;
}

void say(const request& request, const char* label, const std::string& text) {
    if (!request.quiet) print_aside(fmt::format("{:<9} {}\n", label, text));
}

attend_report compute(const request& request, const input_set& inputs, const OutputSet& outputs,
                      ProgressLine& line) {
    const GracefulStop stop;
    attend_options options = request.options;
    options.on_progress = [&](const progress& progress) { line.show(progress); };
    options.stop_requested = [] { return GracefulStop::requested() != 0; };
    const auto& [q, k, v] = inputs.tensors;
    return attend(q, k, v, outputs.out(), outputs.lse(), options);
}

} // namespace

void run_attend(const request& request) {
    if (!request.random && request.out.empty() && request.lse.empty() && request.json.empty() &&
        !request.verify_rows)
        throw Error(error_code::usage, "expected something to do with the result: --out, --lse, "
                                       "--verify or --json");
    input_set inputs = open_inputs(request);
    check_output_names(request, inputs);
    check_host_memory(request, inputs);
    if (!request.json.empty() && request.json != "-") // found now, not after hours
        const files::OutputFile probe(request.json, 0, "--json " + files::printable(request.json));

    if (request.options.workers == worker_set::cuda && count_gpus() == 0)
        throw Error(error_code::device, "workers: expected at least one GPU, but there is none");

    const plan planned = plan_attention(inputs.problem, request.options);
    OutputSet outputs(request, inputs);
    say(request, "problem", text_of(inputs.problem));
    say(request, "plan", text_of(planned));
    ProgressLine line(request.quiet, request.verbose);
    if (request.random) {
        line.show("making random tensors");
        make_random(inputs, request.seed);
    } else {
        read_ahead(inputs);
    }
    const attend_report report = compute(request, inputs, outputs, line);
    // One that came too late for the library to drop a task is a wish to stop all the same.
    if (GracefulStop::requested() != 0) throw Error(error_code::stopped, "stopped on request");
    std::optional<verdict> verdict;
    if (request.verify_rows) {
        line.show(fmt::format("computing {} rows in float64", *request.verify_rows));
        verdict = verify_outputs(request, inputs, outputs);
    }
    line.wipe();

    const bool right = !verdict || explained(verdict->verified, verdict->bound);
    if (right) outputs.commit();
    say(request, "done", text_of(report.measured));
    if (!report.warning.empty()) say(request, "warning", files::printable(report.warning));
    if (request.verbose)
        for (const auto& worker : report.workers)
            say(request, "worker",
                fmt::format("{}: {} tasks, {:.2f} s busy", worker.name, worker.tasks,
                            worker.busy_seconds));
    if (verdict) say(request, "verified", text_of(verdict->verified, verdict->bound));
    if (!request.json.empty())
        write_report(request.json,
                     json_of(report, verdict ? std::optional(verdict->verified) : std::nullopt));
    if (!right)
        throw Error(error_code::verification,
                    fmt::format("verification failed: {}; no output was written",
                                text_of(verdict->verified, verdict->bound)));
}

} // namespace cqsa::tool
