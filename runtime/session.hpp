// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/attend.hpp"

#include <memory>

namespace cqsa {

/// Keeps StarPU, its workers and their memory between calls, so that only the first attention of a
/// program pays for the start. Between calls StarPU's threads sleep. Inside a program where StarPU
/// already runs a Session holds nothing, and cqsa::attend is as good.
///
/// One call at a time; a Session may move between threads. While it lives, starpu_is_initialized()
/// is true: an application that starts StarPU itself should do so before.
///
/// At a machine's first start StarPU's program starpu_calibrate_bus measures the bus. Where it is
/// not installed or fails, StarPU measures in this process and then resets the CUDA devices: what
/// the process had on them is lost, page-locked memory is locked no more, and
/// attend_report::warning says so.
class Session {
  public:
    /// options: workers, cpu_threads, device_bytes and trace_directory hold for the whole session.
    /// Throws Error(device) when StarPU cannot start or lacks the workers asked for.
    explicit Session(const attend_options& options = {});
    ~Session();
    Session(Session&&) noexcept;
    Session& operator=(Session&&) noexcept;

    /// As cqsa::attend (runtime/attend.hpp), with the session's workers and device_bytes.
    attend_report attend(const tensor& q, const tensor& k, const tensor& v,
                         const mutable_tensor& out, const mutable_tensor& lse,
                         const attend_options& options = {});

  private:
    struct Implementation;
    std::unique_ptr<Implementation> implementation_;
};

} // namespace cqsa
