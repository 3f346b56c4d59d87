// SPDX-License-Identifier: Apache-2.0
#include "runtime/tool/signals.hpp"

#include "planner/error.hpp"
#include "runtime/files/output_file.hpp"

#include <atomic>
#include <csignal>
#include <string_view>
#include <unistd.h>

namespace cqsa::tool {
namespace {

std::atomic<int> stop_signal = 0;
std::atomic<bool> graceful = false;

void on_stop(int signal) {
    int none = 0;
    if (graceful && stop_signal.compare_exchange_strong(none, signal)) return;
    files::unlink_temporaries();
    ::_exit(128 + signal);
}

void on_closed_pipe(int signal) {
    files::unlink_temporaries();
    ::_exit(128 + signal);
}

void on_bus_error(int /*signal*/) {
    static std::atomic_flag told;
    while (told.test_and_set())
        ::pause(); // another thread met it first and ends the process
    constexpr std::string_view sentence =
        "cqsa: a mapped file could not be read or written: it was shortened by another program, "
        "or its disk failed.\n";
    files::unlink_temporaries();
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, sentence.data(), sentence.size());
    ::_exit(static_cast<int>(error_code::bad_input));
}

void handle(int signal, void (*handler)(int)) {
    struct sigaction action {};
    action.sa_handler = handler;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    ::sigaction(signal, &action, nullptr);
}

} // namespace

void install_signal_handlers() {
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
        struct sigaction before {};
        ::sigaction(signal, nullptr, &before);
        if (before.sa_handler != SIG_IGN) handle(signal, on_stop); // nohup keeps its word
    }
    handle(SIGBUS, on_bus_error);
    handle(SIGPIPE, on_closed_pipe);
    handle(SIGXFSZ, SIG_IGN);
}

GracefulStop::GracefulStop() {
    graceful = true;
}

GracefulStop::~GracefulStop() {
    graceful = false;
}

int GracefulStop::requested() {
    return stop_signal;
}

} // namespace cqsa::tool
