// SPDX-License-Identifier: Apache-2.0
#include "runtime/tool/streams.hpp"

#include "planner/error.hpp"
#include "runtime/files/text.hpp"

#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <unistd.h>

namespace cqsa::tool {

void open_standard_streams() {
    for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        if (::fcntl(descriptor, F_GETFD) >= 0) continue;
        // open takes the lowest number that is free: this one.
        const int flags = descriptor == STDERR_FILENO ? O_WRONLY : O_RDONLY;
        if (::open("/dev/null", flags) < 0) return;
    }
}

void print_aside(const std::string& text) {
    std::fputs(text.c_str(), stderr);
}

void flush_stdout() {
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
        throw Error(error_code::failure,
                    "stdout: the text cannot be written: " + files::reason(errno));
}

} // namespace cqsa::tool
