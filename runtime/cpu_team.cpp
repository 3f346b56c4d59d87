// SPDX-License-Identifier: Apache-2.0
#include "runtime/cpu_team.hpp"

#include "planner/error.hpp"

#include <omp.h>

#include <algorithm>

namespace cqsa {
namespace {

hwloc_topology_t load_topology() {
    hwloc_topology_t topology = nullptr;
    if (hwloc_topology_init(&topology) != 0 || hwloc_topology_load(topology) != 0) {
        throw Error(error_code::device, "hwloc could not read the machine's topology");
    }
    return topology;
}

// Logical units of one core are neighbours in hwloc's order. Machines without core objects (some
// virtual ones) count every unit as a core.
hwloc_obj_t core_of(hwloc_topology_t topology, hwloc_obj_t unit) {
    const hwloc_obj_t core = hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_CORE, unit);
    return core != nullptr ? core : unit;
}

// What the process was allowed when it started; the calling thread itself may be bound more
// tightly.
hwloc_bitmap_t process_cpuset(hwloc_topology_t topology) {
    hwloc_bitmap_t set = hwloc_bitmap_alloc();
    if (hwloc_get_cpubind(topology, set, HWLOC_CPUBIND_PROCESS) != 0 || hwloc_bitmap_iszero(set)) {
        hwloc_bitmap_copy(set, hwloc_topology_get_allowed_cpuset(topology));
    }
    hwloc_bitmap_and(set, set, hwloc_topology_get_allowed_cpuset(topology));
    return set;
}

// The first usable processing unit of every usable core.
std::vector<hwloc_obj_t> usable_units(hwloc_topology_t topology) {
    const hwloc_bitmap_t allowed = process_cpuset(topology);
    std::vector<hwloc_obj_t> units;
    hwloc_obj_t last_core = nullptr;
    const int count = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PU);
    for (int i = 0; i < count; ++i) {
        const hwloc_obj_t unit = hwloc_get_obj_by_type(topology, HWLOC_OBJ_PU, i);
        const hwloc_obj_t core = core_of(topology, unit);
        if (core == last_core || hwloc_bitmap_isset(allowed, unit->os_index) == 0) continue;
        last_core = core;
        units.push_back(unit);
    }
    hwloc_bitmap_free(allowed);
    return units;
}

} // namespace

CpuTeam::CpuTeam(int master, const std::vector<int>& taken, int wanted)
    : topology_(load_topology()) {
    std::vector<hwloc_obj_t> occupied;
    const auto occupy = [&](int index) {
        const hwloc_obj_t unit = hwloc_get_obj_by_type(topology_, HWLOC_OBJ_PU, index);
        if (unit != nullptr) occupied.push_back(core_of(topology_, unit));
    };
    for (const int unit : taken)
        occupy(unit);
    if (master >= 0) occupy(master);
    for (const hwloc_obj_t unit : usable_units(topology_)) {
        const hwloc_obj_t core = core_of(topology_, unit);
        if (std::ranges::find(occupied, core) == occupied.end()) {
            cores_.push_back(unit);
        }
    }
    const int free_cores = static_cast<int>(cores_.size()) + (master >= 0 ? 1 : 0);
    threads_ = std::max(1, wanted > 0 ? wanted : free_cores);
    // More threads than cores were asked for, or an unbound worker: the system places them.
    if (master < 0 || threads_ > free_cores) cores_.clear();
}

CpuTeam::~CpuTeam() {
    hwloc_topology_destroy(topology_);
}

void CpuTeam::bind() {
    std::call_once(bound_, [this] {
        if (cores_.empty()) return;
#pragma omp parallel num_threads(threads_)
        {
            const int member = omp_get_thread_num();
            if (member > 0) {
                hwloc_set_cpubind(topology_, cores_[member - 1]->cpuset, HWLOC_CPUBIND_THREAD);
            }
        }
    });
}

std::string cpu_model() {
    // Reading the topology takes milliseconds, and each attention asks.
    static const std::string model = [] {
        const hwloc_topology_t topology = load_topology();
        std::string name;
        if (const hwloc_obj_t package = hwloc_get_obj_by_type(topology, HWLOC_OBJ_PACKAGE, 0)) {
            const char* found = hwloc_obj_get_info_by_name(package, "CPUModel");
            if (found != nullptr) name = found;
        }
        hwloc_topology_destroy(topology);
        return name;
    }();
    return model;
}

int usable_cores() {
    const hwloc_topology_t topology = load_topology();
    const auto count = static_cast<int>(usable_units(topology).size());
    hwloc_topology_destroy(topology);
    return std::max(1, count);
}

} // namespace cqsa
