// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace cqsa {

/// Sets environment variables that the user left unset and takes them back at the end of the scope.
/// For settings that StarPU reads from nowhere else, around starpu_init only: the environment of a
/// process is not safe to change while other threads read it.
class ScopedEnvironment {
  public:
    ScopedEnvironment() = default;
    ~ScopedEnvironment();
    ScopedEnvironment(const ScopedEnvironment&) = delete;
    ScopedEnvironment& operator=(const ScopedEnvironment&) = delete;

    /// Sets `name` unless the user did.
    void set_default(const std::string& name, const std::string& value);
    /// Sets `name` whatever the user set (an argument goes before the environment).
    void set(const std::string& name, const std::string& value);

  private:
    std::vector<std::pair<std::string, std::optional<std::string>>> before_;
};

/// The variable's value as an integer; nothing when it is unset, empty or no number.
std::optional<long> environment_number(const char* name);

} // namespace cqsa
