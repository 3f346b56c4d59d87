// SPDX-License-Identifier: Apache-2.0
#include "bench/torch_peer.hpp"

#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <spawn.h>
#include <sstream>
#include <sys/wait.h>
#include <unistd.h>

namespace cqsa::bench {
namespace {

constexpr const char* advice = "PyTorch is not measured: install it with 'python3 -m venv .venv && "
                               ".venv/bin/pip install torch' and set CQSA_PYTHON=.venv/bin/python.";

} // namespace

std::string peers_folder() {
    const std::filesystem::path bundled =
        std::filesystem::read_symlink("/proc/self/exe").parent_path() / "../bench/peers";
    return std::filesystem::exists(bundled) ? bundled.string() : CQSA_BENCH_PEERS;
}

TorchPeer::TorchPeer(const std::string& folder, const std::string& script,
                     const std::string& argument)
    : why_(advice) {
    if (folder.empty()) return;
    int down[2] = {-1, -1};
    int up[2] = {-1, -1};
    if (pipe2(down, O_CLOEXEC) != 0 || pipe2(up, O_CLOEXEC) != 0) {
        return;
    }
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, down[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, up[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    const char* chosen = std::getenv("CQSA_PYTHON");
    std::string python = chosen == nullptr ? "python3" : chosen;
    std::string path = folder + "/" + script;
    std::string option = argument;
    char* arguments[] = {python.data(), path.data(), option.data(), nullptr};
    const int failed = posix_spawnp(&child_, python.c_str(), &actions, nullptr, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(down[0]);
    close(up[1]);
    to_ = fdopen(down[1], "w");
    from_ = fdopen(up[0], "r");
    if (failed != 0) {
        child_ = -1;
        return;
    }
    std::signal(SIGPIPE, SIG_IGN); // a child that ended shows as no answer
    if (const auto answer = ask("version")) {
        version_ = *answer;
    }
}

TorchPeer::~TorchPeer() {
    if (to_ != nullptr) {
        std::fclose(to_);
    }
    if (from_ != nullptr) {
        std::fclose(from_);
    }
    if (child_ > 0) {
        waitpid(child_, nullptr, 0);
    }
}

std::optional<std::string> TorchPeer::ask(const std::string& line) {
    char answer[256];
    if (std::fprintf(to_, "%s\n", line.c_str()) < 0 || std::fflush(to_) != 0 ||
        std::fgets(answer, sizeof answer, from_) == nullptr) {
        return std::nullopt;
    }
    std::string text(answer);
    while (!text.empty() && text.back() == '\n') {
        text.pop_back();
    }
    return text;
}

std::map<std::string, double> TorchPeer::attend_times(const attend_case& x) {
    std::map<std::string, double> found;
    if (version_.empty()) return found;
    const auto answer = ask(fmt::format("attend {} {} {} {} {}", name_of(x.type), x.heads, x.tokens,
                                        x.head_dim, x.causal ? 1 : 0));
    std::istringstream words(answer.value_or(""));
    std::string name;
    double seconds = 0;
    while (words >> name >> seconds)
        found[name] = seconds;
    return found;
}

std::optional<double> TorchPeer::attend_seconds(const attend_case& x) {
    const std::map<std::string, double> times = attend_times(x);
    return times.empty() ? std::nullopt : std::optional(times.begin()->second);
}

} // namespace cqsa::bench
