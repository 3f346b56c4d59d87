// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/memory_model.hpp"

#include <cstdint>
#include <vector>

namespace cqsa {

/// Device memory of blocks, taken in one piece before a run and given out in the sizes and numbers
/// that the planner counted. So a run neither allocates nor frees device memory (which would make
/// the device wait), holds what was predicted, and cannot be starved by another process; and where
/// a buffer is missing, StarPU reuses one of the same size instead of evicting whatever is oldest.
///
/// A memory node is StarPU's number of a GPU's memory. What is reserved counts against StarPU's
/// limit of the node. No task of a run may be under way while buffers are reserved or released.

/// Reserves these buffers, sorted by size. What was reserved for an earlier run is given back
/// first, unless it is the same. False when the device or StarPU's limit has not enough left:
/// nothing is reserved then.
bool reserve_buffers(unsigned node, const std::vector<device_buffers>& wanted);

/// Gives the node's memory back, once StarPU has let go of what it keeps for later. Nothing happens
/// where nothing is reserved.
void release_buffers(unsigned node);

/// Bytes reserved on the node.
std::int64_t reserved_bytes(unsigned node);

/// A buffer of at least so many bytes; 0 when all of that size are taken. Where nothing is
/// reserved, StarPU's own allocator answers.
std::uintptr_t take_buffer(unsigned node, std::int64_t bytes);
void give_buffer(unsigned node, std::uintptr_t buffer, std::int64_t bytes);

/// Fills a buffer of a GPU's node with zeros, and waits for it.
void clear_buffer(unsigned node, std::uintptr_t buffer, std::int64_t bytes);

} // namespace cqsa
