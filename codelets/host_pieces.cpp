// SPDX-License-Identifier: Apache-2.0
#include "codelets/host_pieces.hpp"

#include <algorithm>

#include <unistd.h>

namespace cqsa {

HostPieces::HostPieces(std::vector<range> ranges, std::size_t piece_bytes)
    : piece_bytes_(piece_bytes) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    std::erase_if(ranges, [](const range& one) { return one.bytes == 0; });
    for (range& one : ranges) {
        const std::uintptr_t begin = one.begin / page * page;
        one.bytes = (one.begin + one.bytes - begin + page - 1) / page * page;
        one.begin = begin;
    }
    std::ranges::sort(ranges, {}, &range::begin);
    for (const range& one : ranges) {
        if (!areas_.empty()) {
            range& last = areas_.back().memory;
            if (one.begin < last.begin + last.bytes) {
                last.bytes = std::max(last.bytes, one.begin + one.bytes - last.begin);
                continue;
            }
        }
        areas_.push_back({one, 0});
    }
    for (area& one : areas_) {
        one.first_piece = count_;
        count_ += (one.memory.bytes + piece_bytes_ - 1) / piece_bytes_;
    }
}

const HostPieces::area* HostPieces::area_of(std::uintptr_t address) const {
    const auto next = std::ranges::upper_bound(areas_, address, {},
                                               [](const area& one) { return one.memory.begin; });
    if (next == areas_.begin()) return nullptr;
    const area& one = *(next - 1);
    return address < one.memory.begin + one.memory.bytes ? &one : nullptr;
}

HostPieces::range HostPieces::piece(std::size_t index) const {
    const auto next = std::ranges::upper_bound(areas_, index, {}, &area::first_piece);
    const area& one = *(next - 1);
    const std::size_t offset = (index - one.first_piece) * piece_bytes_;
    return {one.memory.begin + offset, std::min(piece_bytes_, one.memory.bytes - offset)};
}

std::size_t HostPieces::piece_of(std::uintptr_t address) const {
    const area* one = area_of(address);
    if (one == nullptr) return count_;
    return one->first_piece + (address - one->memory.begin) / piece_bytes_;
}

std::size_t HostPieces::uncut_bytes(std::uintptr_t address, std::size_t bytes) const {
    const auto next = std::ranges::upper_bound(areas_, address, {},
                                               [](const area& one) { return one.memory.begin; });
    if (const area* one = area_of(address)) {
        const std::size_t offset = address - one->memory.begin;
        const std::size_t end =
            std::min((offset / piece_bytes_ + 1) * piece_bytes_, one->memory.bytes);
        return std::min(bytes, end - offset);
    }
    if (next == areas_.end()) return bytes;
    return std::min<std::size_t>(bytes, next->memory.begin - address);
}

} // namespace cqsa
