// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>

namespace cqsa::bench {

/// Each adds its sub-command, which runs when the command line names it.
void add_cpu(CLI::App& app);
void add_graph(CLI::App& app);
void add_offload(CLI::App& app);

} // namespace cqsa::bench
