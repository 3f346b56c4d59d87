// SPDX-License-Identifier: Apache-2.0
// planted clean|race_thread|race_openmp|race_task|overflow|undefined|leak
// A small program on std::thread, OpenMP and StarPU with at most one planted defect, which shows
// that the sanitizer presets report defects, and that their silence is not that of a suppressed
// report.
#include <starpu.h>

#include <array>
#include <atomic>
#include <chrono>
#include <climits>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr int rounds = 10000;

// Returns when two callers have arrived, so that what they do next overlaps.
void meet(std::atomic<int>& arrived) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    ++arrived;
    while (arrived < 2 && std::chrono::steady_clock::now() < deadline)
        std::this_thread::yield();
}

void count(volatile std::int64_t& counter) {
    for (int i = 0; i < 100 * rounds; ++i)
        counter = counter + 1;
}

void count_in_threads(std::int64_t& first, std::int64_t& second) {
    std::atomic<int> arrived{0};
    const auto work = [&](std::int64_t& counter) {
        meet(arrived);
        count(counter);
    };
    std::thread other(work, std::ref(first));
    work(second);
    other.join();
}

void count_in_team(std::vector<std::int64_t>& counters, bool shared) {
#pragma omp parallel for num_threads(2)
    for (int i = 0; i < rounds; ++i) {
        const auto own = static_cast<std::size_t>(i);
        counters[shared ? 0 : own] += 1;
    }
}

std::atomic<int> tasks_arrived{0};

void count_in_task(void** buffers, void* counter) {
    auto* value = reinterpret_cast<std::int64_t*>(STARPU_VECTOR_GET_PTR(buffers[0]));
    std::vector<std::int64_t> team(rounds);
    count_in_team(team, false);
    meet(tasks_arrived);
    count(*static_cast<std::int64_t*>(counter));
    *value += team.back();
}

// Two tasks without a common handle, which StarPU's two CPU workers run at once.
void count_in_tasks(std::int64_t& first, std::int64_t& second) {
    starpu_codelet codelet;
    starpu_codelet_init(&codelet);
    codelet.name = "count";
    codelet.nbuffers = 1;
    codelet.modes[0] = STARPU_RW;
    codelet.cpu_funcs[0] = count_in_task;
    std::array<std::int64_t, 2> values{};
    std::array<starpu_data_handle_t, 2> handles{};
    for (std::size_t i = 0; i < 2; ++i) {
        starpu_vector_data_register(&handles[i], STARPU_MAIN_RAM,
                                    reinterpret_cast<std::uintptr_t>(&values[i]), 1,
                                    sizeof(values[i]));
        starpu_task* task = starpu_task_create();
        task->cl = &codelet;
        task->handles[0] = handles[i];
        task->cl_arg = i == 0 ? &first : &second;
        if (starpu_task_submit(task) != 0) std::abort();
    }
    for (starpu_data_handle_t handle : handles)
        starpu_data_unregister(handle);
}

int run(const std::string& defect) {
    starpu_conf conf;
    starpu_conf_init(&conf);
    conf.ncpus = 2;
    conf.ncuda = 0;
    if (starpu_init(&conf) != 0) return 1;
    std::vector<std::int64_t> counters(rounds);
    count_in_threads(counters[0], counters[defect == "race_thread" ? 0 : 1]);
    count_in_team(counters, defect == "race_openmp");
    count_in_tasks(counters[0], counters[defect == "race_task" ? 0 : 1]);
    starpu_shutdown();

    int result = 0;
    if (defect == "overflow") result += static_cast<int>(counters.data()[counters.size()]);
    if (defect == "undefined") {
        volatile int large = INT_MAX;
        result += large + 1;
    }
    if (defect == "leak") {
        volatile auto* lost = new std::int64_t[rounds];
        lost[0] = 1;
    }
    std::printf("ran\n");
    return result == INT_MIN ? 1 : 0;
}

} // namespace

int main(int argc, char** argv) {
    return run(argc > 1 ? argv[1] : "clean");
}
