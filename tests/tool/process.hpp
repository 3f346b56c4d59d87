// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <sys/types.h>
#include <vector>

namespace cqsa::test {

struct process_result {
    int code = -1; ///< the exit code, or 128 + the signal that killed it
    std::string out;
    std::string err;
};

/// A running program whose stdout and stderr are kept.
class Process {
  public:
    /// `settings` are "NAME=value" for the environment. With `terminal`, stderr is a terminal.
    Process(const std::string& program, const std::vector<std::string>& arguments,
            const std::vector<std::string>& settings = {}, bool terminal = false);
    ~Process();
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    void signal(int number) const;
    /// Reads on until stderr contains `text`; false when the program ends first.
    bool wait_for(const std::string& text);
    process_result finish();

  private:
    bool read_some();

    pid_t child_ = -1;
    int out_ = -1;
    int err_ = -1;
    process_result result_;
};

/// The tool, and the tool with a library that fails on demand.
std::string tool_path();
std::string faulty_tool_path();

/// Runs the tool to its end.
process_result run_tool(const std::vector<std::string>& arguments,
                        const std::vector<std::string>& settings = {});

/// "a b c" as words.
std::vector<std::string> words(const std::string& line);

} // namespace cqsa::test
