// SPDX-License-Identifier: Apache-2.0
// Stands in for the attention of the library: does what CQSA_TEST_FAULT says.
//   wrong   leaves the outputs zero and reports success
//   device  fails like a lost device
//   crash   throws what is no cqsa::Error
//   slow    computes for a minute, asking whether to stop
//   late    has its result when SIGINT comes
//   deaf    computes for a minute without asking
//   reader  reads q again and again for a minute
#include "runtime/attend.hpp"

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>

namespace cqsa {

plan plan_attention(const problem& problem, const attend_options& /*options*/) {
    plan out;
    out.problem = problem;
    out.difference_set = {0};
    out.tasks = 1;
    return out;
}

attend_report attend(const tensor& q, const tensor& /*k*/, const tensor& /*v*/,
                     const mutable_tensor& /*out*/, const mutable_tensor& /*lse*/,
                     const attend_options& options) {
    const char* setting = std::getenv("CQSA_TEST_FAULT");
    const std::string fault = setting == nullptr ? "" : setting;
    if (fault == "device") throw Error(error_code::device, "the device was lost");
    if (fault == "crash") throw std::runtime_error("nobody expected this");
    if (fault == "late") std::raise(SIGINT);
    if (fault == "slow" || fault == "deaf" || fault == "reader")
        for (int i = 0; i < 6000; ++i) {
            progress now;
            now.flops_done = i;
            now.flops_total = 6000;
            now.seconds = 0.01 * i;
            options.on_progress(now);
            if (fault == "slow" && options.stop_requested())
                throw Error(error_code::stopped, "stopped on request");
            if (fault == "reader")
                static_cast<void>(*(static_cast<const volatile char*>(q.data) + 100'000));
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        }
    return {};
}

} // namespace cqsa
