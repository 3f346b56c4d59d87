// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hwloc.h>

#include <mutex>
#include <string>
#include <vector>

namespace cqsa {

/// The OpenMP team of StarPU's CPU worker: one thread per core that the process may use and that no
/// other StarPU worker needs. StarPU binds its worker to one core and OpenMP threads inherit that
/// binding, so each member has to be moved to its own core once.
class CpuTeam {
  public:
    /// A team for a worker that StarPU bound to the processing unit `master` (hwloc logical index;
    /// −1: not bound). `taken`: units of StarPU's other workers. `wanted` = 0: as many threads as
    /// there are free cores.
    CpuTeam(int master, const std::vector<int>& taken, int wanted);
    ~CpuTeam();
    CpuTeam(const CpuTeam&) = delete;
    CpuTeam& operator=(const CpuTeam&) = delete;

    [[nodiscard]] int threads() const { return threads_; }

    /// Binds the calling thread's OpenMP team, the first time it is called. On the worker's thread.
    void bind();

  private:
    hwloc_topology_t topology_ = nullptr;
    std::vector<hwloc_obj_t> cores_; ///< of the members 1, 2, …; empty: leave the team unbound
    int threads_ = 1;
    std::once_flag bound_;
};

/// "Intel(R) Xeon(R) Platinum 8480+"; empty where the system does not say.
std::string cpu_model();

/// Cores that this process may use.
int usable_cores();

} // namespace cqsa
