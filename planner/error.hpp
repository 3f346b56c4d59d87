// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>
#include <string>

namespace cqsa {

/// What went wrong, in the classes a caller can act on. The values are the tool's exit codes.
enum class error_code {
    failure = 1,      ///< anything that has no class of its own
    usage = 2,        ///< an argument or option that makes no sense
    bad_input = 3,    ///< a tensor or file that is not what was promised
    does_not_fit = 4, ///< no plan fits the memory budget
    device = 5,       ///< a device, the driver or the task runtime failed
    verification = 6, ///< the float64 check found a wrong result
    stopped = 75,     ///< stopped on request, resumable
};

/// The one exception the library throws. what() is one sentence that names the operand, what was
/// expected and what came.
class Error : public std::runtime_error {
  public:
    Error(error_code code, const std::string& sentence)
        : std::runtime_error(sentence), code_(code) {}
    [[nodiscard]] error_code code() const noexcept { return code_; }

  private:
    error_code code_;
};

} // namespace cqsa
