// SPDX-License-Identifier: Apache-2.0
#include "runtime/tool/progress_line.hpp"

#include "runtime/tool/quantities.hpp"
#include "runtime/tool/streams.hpp"

#include <algorithm>
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

std::string progress_text(const progress& progress, double flops_per_second) {
    const double share = progress.flops_total > 0 ? progress.flops_done / progress.flops_total : 1;
    std::string text = fmt::format("{:6.1f} %", 100 * share);
    if (flops_per_second <= 0) return text;
    const double whole = std::max(progress.flops_total / flops_per_second, progress.seconds);
    return text + fmt::format("   {}   {} of about {}, {} left", text_of_rate(flops_per_second),
                              text_of_clock(progress.seconds), text_of_clock(whole),
                              text_of_clock(whole - progress.seconds));
}

ProgressLine::ProgressLine(bool quiet, bool verbose)
    : terminal_(!quiet && is_terminal()), lines_(!quiet && verbose && !terminal_) {}

void ProgressLine::wipe() {
    if (std::exchange(dirty_, false)) print_aside("\r\x1b[K");
}

void ProgressLine::show(const progress& progress) {
    if (progress.flops_done > flops_done_ && progress.seconds > 0) {
        flops_done_ = progress.flops_done;
        flops_per_second_ = progress.flops_done / progress.seconds;
    }
    if (terminal_) {
        show(progress_text(progress, flops_per_second_));
    } else if (lines_ && progress.seconds >= next_line_seconds_) {
        next_line_seconds_ = progress.seconds + 10;
        print_aside(progress_text(progress, flops_per_second_) + "\n");
    }
}

void ProgressLine::show(const std::string& text) {
    if (!terminal_) return;
    print_aside("\r" + text + "\x1b[K");
    dirty_ = true;
}

} // namespace cqsa::tool
