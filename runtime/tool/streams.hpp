// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace cqsa::tool {

/// Gives the descriptors 0, 1 and 2 something to be where the caller closed them, so that no file
/// of ours takes their place and is written to as stdout or stderr. Writing to a stdout that was
/// closed goes on failing; text for a stderr that was closed is lost.
void open_standard_streams();

/// Writes to stderr. A stderr that takes nothing is no reason to lose a run.
void print_aside(const std::string& text);

/// Brings what was printed to stdout to its reader. Throws Error(failure) when that fails.
void flush_stdout();

} // namespace cqsa::tool
