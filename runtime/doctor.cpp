// SPDX-License-Identifier: Apache-2.0
#include "runtime/doctor.hpp"

#include "codelets/cpu/isa.hpp"
#include "runtime/cpu_team.hpp"
#include "runtime/gpu.hpp"
#include "runtime/host_memory.hpp"
#include "runtime/stored_rates.hpp"

#include <starpu.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string_view>

namespace cqsa {
namespace {

std::vector<std::string> paths_down_from(cpu_isa best) {
    std::vector<std::string> paths;
    for (int isa = static_cast<int>(best); isa >= 0; --isa) {
        paths.emplace_back(name_of(static_cast<cpu_isa>(isa)));
    }
    return paths;
}

std::string starpu_version_text() {
    int major = 0;
    int minor = 0;
    int release = 0;
    starpu_get_version(&major, &minor, &release);
    return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(release);
}

std::vector<machine_report::setting> settings_that_matter() {
    std::vector<machine_report::setting> settings;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string_view text(*entry);
        const std::string_view name = text.substr(0, text.find('='));
        const bool matters = name.starts_with("STARPU_") || name.starts_with("OMP_") ||
                             name.starts_with("CQSA_") || name == "CUDA_VISIBLE_DEVICES";
        if (matters && name.size() < text.size()) {
            settings.push_back({std::string(name), std::string(text.substr(name.size() + 1))});
        }
    }
    return settings;
}

machine_report::stored stored_for(const std::string& processor) {
    const stored_rates stored = read_rates(processor);
    machine_report::stored report{processor, {}, stored.path, stored.damage};
    for (const measured_rates& one : stored.rates) {
        std::string text = std::string(name_of(one.type)) + " " + std::to_string(one.head_dim);
        if (std::ranges::find(report.measured, text) == report.measured.end()) {
            report.measured.push_back(std::move(text));
        }
    }
    return report;
}

std::vector<std::string> advice_for(const machine_report& report) {
    std::vector<std::string> advice;
    if (report.cuda_version.empty()) {
        advice.emplace_back(
            "This build has no CUDA kernels: install the CUDA Toolkit and configure "
            "again to use a GPU");
    } else if (report.gpus.empty()) {
        advice.emplace_back("No GPU was found: attention runs on the CPU");
    }
    if (!report.fxt) {
        advice.emplace_back("StarPU was built without FxT: --trace needs a StarPU configured "
                            "--with-fxt");
    }
    if (std::ranges::any_of(report.rates, [](const auto& one) { return one.measured.empty(); })) {
        advice.emplace_back("Times are predicted from assumed rates: cqsa calibrate measures this "
                            "machine's");
    }
    if (report.cpu_paths.size() == 1) {
        advice.emplace_back("The processor has no AVX2: expect a tenth of the usual speed");
    }
    return advice;
}

} // namespace

machine_report describe_machine() {
    const host_memory memory = read_host_memory();
    machine_report report;
    report.cpu = cpu_model();
    report.cores = usable_cores();
    report.cpu_paths = paths_down_from(selected_isa());
    report.memory_bytes = memory.total_bytes;
    report.free_memory_bytes = memory.available_bytes;
    report.rates.push_back(stored_for(cpu_identity()));
    const std::vector<gpu_facts> gpus = list_gpus();
    if (!gpus.empty()) {
        const auto count = static_cast<int>(gpus.size());
        report.rates.push_back(stored_for(gpu_identity(gpus.front(), count)));
    }
    for (const gpu_facts& gpu : gpus) {
        report.gpus.push_back({gpu.name,
                               std::to_string(gpu.major) + "." + std::to_string(gpu.minor),
                               gpu.total_bytes, gpu.free_bytes, gpu.unsupported});
    }
    report.cuda_version = cuda_version_text();
    report.starpu_version = starpu_version_text();
#ifdef STARPU_USE_FXT
    report.fxt = true;
#endif
    report.environment = settings_that_matter();
    report.advice = advice_for(report);
    return report;
}

} // namespace cqsa
