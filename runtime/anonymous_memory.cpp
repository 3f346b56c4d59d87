// SPDX-License-Identifier: Apache-2.0
#include "runtime/anonymous_memory.hpp"

#include <fstream>
#include <sstream>
#include <string>

namespace cqsa {

bool is_anonymous_memory(std::uintptr_t begin, std::size_t bytes) {
    // Lines in ascending order: "begin-end rwxp offset device inode path".
    std::ifstream maps("/proc/self/maps");
    std::string line;
    std::uintptr_t next = begin;
    while (next < begin + bytes && std::getline(maps, line)) {
        std::istringstream fields(line);
        std::uintptr_t from = 0;
        std::uintptr_t to = 0;
        char dash = 0;
        std::string access;
        std::string offset;
        std::string device;
        std::uint64_t inode = 0;
        fields >> std::hex >> from >> dash >> to >> access >> offset >> device >> std::dec >> inode;
        if (!fields) return false;
        if (to <= next) continue;
        if (from > next || access.size() < 2 || access[1] != 'w' || inode != 0) return false;
        next = to;
    }
    return next >= begin + bytes;
}

} // namespace cqsa
