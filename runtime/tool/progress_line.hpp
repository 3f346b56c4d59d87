// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/attend.hpp"

#include <string>

namespace cqsa::tool {

/// "  42.3 %   1.23 TFLOP/s   0:31 of about 1:14, 0:43 left". The estimate goes by flops, since
/// tasks at the causal edge are smaller than others, and by the rate when a task ended last, so
/// that it does not grow while tasks run.
std::string progress_text(const progress& progress, double flops_per_second);

/// The progress of a run on stderr: one line that is rewritten on a terminal; otherwise nothing, or
/// one line every ten seconds when `verbose`.
class ProgressLine {
  public:
    ProgressLine(bool quiet, bool verbose);
    ~ProgressLine() { wipe(); }
    ProgressLine(const ProgressLine&) = delete;
    ProgressLine& operator=(const ProgressLine&) = delete;

    void show(const progress& progress);
    /// Something without a measure, such as "verifying 64 rows".
    void show(const std::string& text);
    /// Leaves an empty line to whoever prints next.
    void wipe();

  private:
    bool terminal_ = false;
    bool lines_ = false;
    bool dirty_ = false;
    double next_line_seconds_ = 10;
    double flops_done_ = 0; ///< when a task ended last
    double flops_per_second_ = 0;
};

} // namespace cqsa::tool
