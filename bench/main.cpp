// SPDX-License-Identifier: Apache-2.0
#include "bench/subcommands.hpp"

#include <cstdio>
#include <exception>
#include <fmt/format.h>

int main(int argc, char** argv) {
    try {
        CLI::App app("Measures the kernels and the graph of cqsa beside their peers.",
                     "cqsa_bench");
        app.require_subcommand(1);
        cqsa::bench::add_cpu(app);
        cqsa::bench::add_graph(app);
        cqsa::bench::add_offload(app);
        try {
            app.parse(argc, argv);
        } catch (const CLI::ParseError& error) {
            return app.exit(error) == 0 ? 0 : 2;
        }
        return 0;
    } catch (const std::exception& error) {
        fmt::print(stderr, "cqsa_bench: {}\n", error.what());
        return 1;
    }
}
