// SPDX-License-Identifier: Apache-2.0
#include "runtime/host_memory.hpp"

#include <algorithm>
#include <fstream>
#include <optional>
#include <string>

namespace cqsa {
namespace {

std::int64_t meminfo_bytes(const std::string& field) {
    std::ifstream file("/proc/meminfo");
    std::string name;
    std::int64_t kibibytes = 0;
    std::string unit;
    while (file >> name >> kibibytes && std::getline(file, unit)) {
        if (name == field + ":") return kibibytes * 1024;
    }
    return 0;
}

// A number of the process's control group (version 2); nothing where there is no limit ("max").
std::optional<std::int64_t> control_group_bytes(const std::string& file) {
    std::ifstream groups("/proc/self/cgroup");
    std::string line;
    while (std::getline(groups, line)) {
        if (!line.starts_with("0::")) continue;
        std::ifstream value("/sys/fs/cgroup" + line.substr(3) + "/" + file);
        std::int64_t bytes = 0;
        if (value >> bytes) return bytes;
    }
    return std::nullopt;
}

} // namespace

host_memory read_host_memory() {
    host_memory memory{meminfo_bytes("MemTotal"), meminfo_bytes("MemAvailable")};
    if (const auto limit = control_group_bytes("memory.max")) {
        const std::int64_t used = control_group_bytes("memory.current").value_or(0);
        memory.total_bytes = std::min(memory.total_bytes, *limit);
        memory.available_bytes =
            std::min(memory.available_bytes, std::max<std::int64_t>(0, *limit - used));
    }
    return memory;
}

} // namespace cqsa
