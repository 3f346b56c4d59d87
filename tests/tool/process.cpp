// SPDX-License-Identifier: Apache-2.0
#include "process.hpp"
#include "tests/support/beside_program.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sstream>
#include <stdexcept>
#include <sys/wait.h>
#include <unistd.h>

namespace cqsa::test {
namespace {

struct channel {
    int read_end = -1;
    int write_end = -1;
};

channel open_channel(bool terminal) {
    std::array<int, 2> ends{};
    const int error =
        terminal ? ::openpty(&ends[0], &ends[1], nullptr, nullptr, nullptr) : ::pipe(ends.data());
    if (error != 0) throw std::runtime_error("no pipe");
    ::fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    ::fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    return {ends[0], ends[1]};
}

} // namespace

Process::Process(const std::string& program, const std::vector<std::string>& arguments,
                 const std::vector<std::string>& settings, bool terminal) {
    const channel out = open_channel(false);
    const channel err = open_channel(terminal);
    std::vector<char*> argv{const_cast<char*>(program.c_str())};
    for (const std::string& argument : arguments)
        argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    child_ = ::fork();
    if (child_ == 0) {
        for (const std::string& setting : settings)
            ::putenv(const_cast<char*>(setting.c_str()));
        ::dup2(out.write_end, STDOUT_FILENO);
        ::dup2(err.write_end, STDERR_FILENO);
        ::execv(program.c_str(), argv.data());
        ::_exit(127);
    }
    ::close(out.write_end);
    ::close(err.write_end);
    out_ = out.read_end;
    err_ = err.read_end;
}

Process::~Process() {
    if (child_ > 0) {
        ::kill(child_, SIGKILL);
        ::waitpid(child_, nullptr, 0);
    }
    if (out_ >= 0) ::close(out_);
    if (err_ >= 0) ::close(err_);
}

void Process::signal(int number) const {
    ::kill(child_, number);
}

bool Process::read_some() {
    std::array<pollfd, 2> waiting{pollfd{out_, POLLIN, 0}, pollfd{err_, POLLIN, 0}};
    if (out_ < 0 && err_ < 0) return false;
    while (::poll(waiting.data(), waiting.size(), -1) < 0 && errno == EINTR) {
    }
    for (std::size_t i = 0; i < 2; ++i) {
        if (waiting[i].fd < 0 || waiting[i].revents == 0) continue;
        std::array<char, 4096> buffer{};
        const ssize_t count = ::read(waiting[i].fd, buffer.data(), buffer.size());
        if (count > 0) {
            (i == 0 ? result_.out : result_.err)
                .append(buffer.data(), static_cast<std::size_t>(count));
        } else {
            ::close(waiting[i].fd);
            (i == 0 ? out_ : err_) = -1;
        }
    }
    return true;
}

bool Process::wait_for(const std::string& text) {
    while (result_.err.find(text) == std::string::npos)
        if (!read_some()) return false;
    return true;
}

process_result Process::finish() {
    while (read_some()) {
    }
    int status = 0;
    ::waitpid(child_, &status, 0);
    child_ = -1;
    result_.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return result_;
}

std::string tool_path() {
    return test::beside_program("cqsa", CQSA_TOOL);
}

std::string faulty_tool_path() {
    return test::beside_program("cqsa_faulty", CQSA_FAULTY_TOOL);
}

process_result run_tool(const std::vector<std::string>& arguments,
                        const std::vector<std::string>& settings) {
    return Process(tool_path(), arguments, settings).finish();
}

std::vector<std::string> words(const std::string& line) {
    std::istringstream in(line);
    std::vector<std::string> out;
    for (std::string word; in >> word;)
        out.push_back(word);
    return out;
}

} // namespace cqsa::test
