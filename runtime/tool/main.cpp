// SPDX-License-Identifier: Apache-2.0
#include "runtime/files/text.hpp"
#include "runtime/tool/commands.hpp"
#include "runtime/tool/signals.hpp"
#include "runtime/tool/streams.hpp"

#include <array>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

/// One line on stderr, whatever the sentence's source.
int fail(int code, const std::string& sentence) {
    const std::string end = sentence.ends_with('.') ? "" : ".";
    std::fprintf(stderr, "cqsa: %s%s\n", cqsa::files::printable(sentence, 2000).c_str(),
                 end.c_str());
    return code;
}

/// The library names fields of its options, people know those of the command line.
std::string with_options(const std::string& sentence) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 3> names{
        {{"workers: ", "--workers: "},
         {"trace_directory: ", "--trace: "},
         {"scale: ", "--scale: "}}};
    for (const auto& [field, option] : names)
        if (sentence.starts_with(field)) return std::string(option) + sentence.substr(field.size());
    return sentence;
}

void run(int argc, char** argv) {
    using namespace cqsa::tool;
    const parsed_line line = parse({argv + 1, argv + argc});
    if (!line.request) {
        std::fputs(line.text.c_str(), stdout);
        flush_stdout();
        return;
    }
    switch (line.request->command) {
    case command::attend:
        return run_attend(*line.request);
    case command::plan:
        return run_plan(*line.request);
    case command::calibrate:
        return run_calibrate(*line.request);
    case command::doctor:
        return run_doctor(*line.request);
    }
}

} // namespace

int main(int argc, char** argv) {
    using cqsa::tool::GracefulStop;
    cqsa::tool::open_standard_streams();
    cqsa::tool::install_signal_handlers();
    try {
        run(argc, argv);
        return 0;
    } catch (const cqsa::Error& error) {
        if (error.code() == cqsa::error_code::stopped && GracefulStop::requested() != 0)
            return fail(128 + GracefulStop::requested(),
                        "stopped on request; outputs are as they were");
        return fail(static_cast<int>(error.code()), with_options(error.what()));
    } catch (const std::bad_alloc&) {
        return fail(1, "the system refuses more main memory");
    } catch (const std::exception& error) {
        return fail(1, error.what());
    }
}
