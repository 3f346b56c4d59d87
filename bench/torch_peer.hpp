// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/cases.hpp"

#include <cstdio>
#include <map>
#include <optional>
#include <string>
#include <sys/types.h>

namespace cqsa::bench {

/// bench/peers of the bundle that the program lies in (cmake/bundle.sh), or of the sources.
std::string peers_folder();

/// Attention by PyTorch, and what it brings with it, in a child process ($CQSA_PYTHON or python3
/// with a script of bench/peers) that answers one case at a time, so that calls of ours and of the
/// peers can take turns.
class TorchPeer {
  public:
    /// `script` is a file of `folder`; an empty folder: no peer is wanted.
    TorchPeer(const std::string& folder, const std::string& script,
              const std::string& argument = "");
    ~TorchPeer();
    TorchPeer(const TorchPeer&) = delete;
    TorchPeer& operator=(const TorchPeer&) = delete;

    /// What answers, with its version, or empty where it cannot be run; then why() says how to get
    /// it.
    [[nodiscard]] const std::string& version() const { return version_; }
    [[nodiscard]] const std::string& why() const { return why_; }

    /// Seconds of one call, by the name of who did it; empty where nobody can.
    std::map<std::string, double> attend_times(const attend_case& x);
    /// Likewise, of a script that has one way to do it.
    std::optional<double> attend_seconds(const attend_case& x);

  private:
    std::optional<std::string> ask(const std::string& line);

    pid_t child_ = -1;
    std::FILE* to_ = nullptr;
    std::FILE* from_ = nullptr;
    std::string version_, why_;
};

} // namespace cqsa::bench
