// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "planner/plan.hpp"

#include <cstdint>
#include <string>

namespace cqsa {

/// The plan for people: a table of what is cut how and what it costs and, up to 40 chunks, a map of
/// which quorum owns which pair of a query chunk (row) and a key chunk (column), at the first level
/// of a deeper division; pairs that the mask hides are dots. Plain text in lines of at most 100
/// columns, each ended by a newline.
std::string describe(const plan& plan);

/// "512 B", "9.25 MiB": three digits at least, in the largest unit of which there is one.
std::string bytes_for_people(std::int64_t bytes);

/// "1 048 576": groups of three digits.
std::string grouped(std::int64_t number);

} // namespace cqsa
