// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/cases.hpp"

#include <cstdio>
#include <optional>
#include <string>
#include <sys/types.h>

namespace cqsa::bench {

/// bench/peers of the bundle that the program lies in (cmake/bundle.sh), or of the sources.
std::string peers_folder();

/// PyTorch's scaled_dot_product_attention on the CPU, in a child process (peers/torch_cpu.py run by
/// $CQSA_PYTHON or python3) that answers one case at a time, so that calls of ours and of PyTorch
/// can take turns.
class TorchPeer {
  public:
    /// `folder` holds torch_cpu.py.
    TorchPeer(const std::string& folder, int threads);
    ~TorchPeer();
    TorchPeer(const TorchPeer&) = delete;
    TorchPeer& operator=(const TorchPeer&) = delete;

    /// PyTorch's version, or empty where it cannot be run; then why() says how to get it.
    [[nodiscard]] const std::string& version() const { return version_; }
    [[nodiscard]] const std::string& why() const { return why_; }

    /// Seconds of one call, after one that is not counted.
    std::optional<double> attend_seconds(const attend_case& x);

  private:
    std::optional<std::string> ask(const std::string& line);

    pid_t child_ = -1;
    std::FILE* to_ = nullptr;
    std::FILE* from_ = nullptr;
    std::string version_, why_;
};

} // namespace cqsa::bench
