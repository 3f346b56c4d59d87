// SPDX-License-Identifier: Apache-2.0
#include "runtime/bus_measurement.hpp"

#include "runtime/environment.hpp"
#include "runtime/gpu.hpp"

#include <hwloc.h>
#include <starpu.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string_view>

#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

namespace cqsa {
namespace {

using counts = std::array<int, 3>; // cores, NUMA nodes, GPUs

// As StarPU counts.
counts count_machine() {
    counts machine{0, 0, std::min(count_gpus(), STARPU_MAXCUDADEVS)};
    hwloc_topology_t topology = nullptr;
    if (hwloc_topology_init(&topology) != 0) return machine;
    if (hwloc_topology_load(topology) == 0) {
        auto& [cores, nodes, gpus] = machine;
        cores = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE);
        if (cores == 0) cores = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PU);
        nodes = std::clamp(hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_NUMANODE), 1,
                           STARPU_MAXNUMANODES);
    }
    hwloc_topology_destroy(topology);
    return machine;
}

// The files of the measurement, up to their endings. Where there are none StarPU names some that
// cannot be.
std::string stored_path() {
    char* text = nullptr;
    std::size_t size = 0;
    FILE* stream = open_memstream(&text, &size);
    if (stream == nullptr) return {};
    starpu_bus_print_filenames(stream); // "bandwidth: </home/…/bus/host.bandwidth>", and others
    std::fclose(stream);
    const std::string names(text, size);
    std::free(text);
    const std::size_t begin = names.find('<') + 1;
    return names.substr(begin, names.find(".bandwidth>") - begin);
}

bool is_stored(const counts& machine) {
    const std::string path = stored_path();
    // The platform's are written last.
    for (const char* ending :
         {".affinity", ".latency", ".bandwidth", ".platform.xml", ".platform.v4.xml"}) {
        if (access((path + ending).c_str(), F_OK) != 0) return false;
    }
    std::ifstream config(path + ".config"); // "8 # Number of CPUs" and so on, below a comment
    std::string comment;
    std::getline(config, comment);
    counts stored{};
    for (int& count : stored) {
        config >> count;
        std::getline(config, comment);
    }
    return config && stored == machine;
}

// starpu_calibrate_bus of the StarPU that this process runs; empty where it is not installed.
std::string find_program() {
    Dl_info library;
    if (dladdr(reinterpret_cast<void*>(&starpu_init), &library) == 0) return {};
    std::error_code failure;
    const auto folder = std::filesystem::canonical(library.dli_fname, failure).parent_path();
    // Beside prefix/lib, or prefix/lib/x86_64-linux-gnu.
    for (const auto& prefix : {folder.parent_path(), folder.parent_path().parent_path()}) {
        std::string program = prefix / "bin" / "starpu_calibrate_bus";
        if (access(program.c_str(), X_OK) == 0) return program;
    }
    return {};
}

// Without a sound; false when it fails.
bool run(const std::string& program) {
    ScopedEnvironment environment;
    // It measures the bus of all GPUs all the same.
    environment.set("STARPU_NCUDA", "0");
    environment.set("STARPU_NCPU", "1");
    environment.set("STARPU_FXT_TRACE", "0");
    posix_spawn_file_actions_t silence;
    posix_spawn_file_actions_init(&silence);
    for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
        posix_spawn_file_actions_addopen(&silence, stream, "/dev/null", O_RDWR, 0);
    std::string name = program;
    const std::array<char*, 2> arguments{name.data(), nullptr};
    pid_t child = 0;
    const int failure =
        posix_spawn(&child, program.c_str(), &silence, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&silence);
    if (failure != 0) return false;
    int status = 0;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) return false;
    }
    return status == 0;
}

// The one process that may run the program.
class Turn {
  public:
    explicit Turn(const std::string& program) : file_(open(program.c_str(), O_RDONLY | O_CLOEXEC)) {
        while (file_ >= 0 && flock(file_, LOCK_EX) != 0 && errno == EINTR) {
        }
    }
    ~Turn() {
        if (file_ >= 0) close(file_);
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

  private:
    int file_;
};

} // namespace

std::string measure_bus_apart(starpu_conf& conf) {
    const counts machine = count_machine();
    const bool wanted = conf.bus_calibrate > 0;
    if (machine.back() == 0 || (is_stored(machine) && !wanted)) return {};
    const std::string consequence =
        ": StarPU measures the bus in this process and resets its CUDA devices";
    const std::string program = find_program();
    if (program.empty()) return "starpu_calibrate_bus is not installed with StarPU" + consequence;
    const Turn turn(program);
    if (is_stored(machine) && !wanted) return {};
    const bool ended_well = run(program);
    if ((wanted && !ended_well) || !is_stored(machine)) return program + " failed" + consequence;
    conf.bus_calibrate = 0;
    return {};
}

} // namespace cqsa
