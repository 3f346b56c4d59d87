// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace cqsa::tool {

/// Installs the tool's handlers. SIGINT, SIGTERM and SIGHUP end the process with 128 + the
/// signal's number after removing temporary outputs; while a GracefulStop lives, the first one only
/// asks. SIGPIPE ends it silently, as usual, but not without that removal. SIGBUS (a mapped file
/// was shortened, or its disk failed) gives one sentence and exit 3. A file-size limit is left to
/// the calls that meet it.
void install_signal_handlers();

/// While it lives, the first signal to stop is noted instead of ending the process.
class GracefulStop {
  public:
    GracefulStop();
    ~GracefulStop();
    GracefulStop(const GracefulStop&) = delete;
    GracefulStop& operator=(const GracefulStop&) = delete;

    /// The number of the signal that asked to stop; 0 when none did.
    [[nodiscard]] static int requested();
};

} // namespace cqsa::tool
