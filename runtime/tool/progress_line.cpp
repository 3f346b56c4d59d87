// SPDX-License-Identifier: Apache-2.0
#include "runtime/tool/progress_line.hpp"

#include "runtime/tool/quantities.hpp"

#include <cstdio>
#include <cstdlib>
#include <fmt/format.h>
#include <string_view>
#include <unistd.h>
#include <utility>

namespace cqsa::tool {
namespace {

bool is_terminal() {
    const char* kind = std::getenv("TERM");
    return ::isatty(STDERR_FILENO) == 1 && (kind == nullptr || std::string_view(kind) != "dumb");
}

} // namespace

std::string progress_text(const progress& progress) {
    const auto done = static_cast<double>(progress.flops_done);
    const auto total = static_cast<double>(progress.flops_total);
    const double share = total > 0 ? done / total : 1;
    std::string text = fmt::format("{:6.1f} %", 100 * share);
    if (done <= 0 || progress.seconds <= 0) return text;
    const double whole = progress.seconds / share;
    return text + fmt::format("   {}   {} of about {}, {} left",
                              text_of_rate(done / progress.seconds),
                              text_of_seconds(progress.seconds), text_of_seconds(whole),
                              text_of_seconds(whole - progress.seconds));
}

ProgressLine::ProgressLine(bool quiet, bool verbose)
    : terminal_(!quiet && is_terminal()), lines_(!quiet && verbose && !terminal_) {}

void ProgressLine::wipe() {
    if (std::exchange(dirty_, false)) fmt::print(stderr, "\r\x1b[K");
}

void ProgressLine::show(const progress& progress) {
    if (terminal_) {
        show(progress_text(progress));
    } else if (lines_ && progress.seconds >= next_line_seconds_) {
        next_line_seconds_ = progress.seconds + 10;
        fmt::print(stderr, "{}\n", progress_text(progress));
    }
}

void ProgressLine::show(const std::string& text) {
    if (!terminal_) return;
    fmt::print(stderr, "\r{}\x1b[K", text);
    std::fflush(stderr);
    dirty_ = true;
}

} // namespace cqsa::tool
