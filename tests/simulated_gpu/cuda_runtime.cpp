// SPDX-License-Identifier: Apache-2.0
// The part of the CUDA runtime that StarPU and the library call, on simulated devices.
#include "tests/simulated_gpu/simulated_gpu.hpp"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <dlfcn.h>
#include <sys/mman.h>

namespace cqsa::simulated {
namespace {

using clock = std::chrono::steady_clock;
using seconds = std::chrono::duration<double>;

double now() {
    static const clock::time_point start = clock::now();
    return seconds(clock::now() - start).count();
}

void sleep_until(double time) {
    const double left = time - now();
    if (left > 0) std::this_thread::sleep_for(seconds(left));
}

constexpr int most_gpus = 16;
constexpr std::int64_t page_bytes = std::int64_t{2} << 20;
thread_local int current_device = 0;
thread_local cudaError_t last_error = cudaSuccess;

cudaError_t failed(cudaError_t error) {
    last_error = error;
    return error;
}

struct device {
    std::map<const std::byte*, std::int64_t> allocations;
    std::int64_t used_bytes = 0;
    std::int64_t peak_bytes = 0;
    std::int64_t taken_bytes = 0;
    // When what each engine has been given is done.
    double compute = 0;
    double h2d = 0;
    double d2h = 0;
    double busy_seconds = 0;

    [[nodiscard]] std::int64_t free_bytes() const {
        const settings& s = current();
        return std::max<std::int64_t>(0,
                                      s.memory_bytes - s.context_bytes - used_bytes - taken_bytes);
    }
};

struct state {
    std::mutex mutex;
    std::array<device, most_gpus> devices;
    std::map<const std::byte*, std::int64_t> pinned;
    copied moved;
};

state& all() {
    static state instance;
    return instance;
}

// Programs that this one starts have simulated GPUs too.
void pass_on_this_library() {
    Dl_info library;
    dladdr(reinterpret_cast<void*>(&pass_on_this_library), &library);
    std::string folders(library.dli_fname);
    folders.erase(folders.rfind('/'));
    if (const char* others = std::getenv("LD_LIBRARY_PATH")) folders.append(":").append(others);
    setenv("LD_LIBRARY_PATH", folders.c_str(), 1);
}

settings read_settings() {
    pass_on_this_library();
    settings result;
    const char* text = std::getenv("CQSA_SIMULATED_GPU");
    if (text == nullptr) return result;
    const std::map<std::string, double*> rates{
        {"attend_flops_per_second", &result.attend_flops_per_second},
        {"tile_seconds", &result.tile_seconds},
        {"memory_bytes_per_second", &result.memory_bytes_per_second},
        {"launch_seconds", &result.launch_seconds},
        {"bus_bytes_per_second", &result.bus_bytes_per_second},
        {"copy_seconds", &result.copy_seconds},
        {"pageable_bytes_per_second", &result.pageable_bytes_per_second},
        {"register_seconds", &result.register_seconds},
        {"register_bytes_per_second", &result.register_bytes_per_second},
        {"allocate_bytes_per_second", &result.allocate_bytes_per_second}};
    std::string rest(text);
    while (!rest.empty()) {
        const std::string item = rest.substr(0, rest.find(','));
        rest.erase(0, item.size() + 1);
        const std::string name = item.substr(0, item.find('='));
        const double value =
            std::strtod(item.c_str() + std::min(item.size(), name.size() + 1), nullptr);
        if (const auto rate = rates.find(name); rate != rates.end()) {
            *rate->second = value;
        } else if (name == "gpus") {
            result.gpus = std::clamp(static_cast<int>(value), 0, most_gpus);
        } else if (name == "memory_bytes") {
            result.memory_bytes = static_cast<std::int64_t>(value);
        } else if (name == "context_bytes") {
            result.context_bytes = static_cast<std::int64_t>(value);
        } else if (name == "computes") {
            result.computes = value != 0;
        } else {
            std::fprintf(stderr, "CQSA_SIMULATED_GPU: no setting is called %s\n", name.c_str());
            std::abort();
        }
    }
    return result;
}

// Bytes from `address` on that lie in one range, or in none.
std::size_t uniform_bytes(const std::map<const std::byte*, std::int64_t>& ranges,
                          const void* address) {
    const auto* byte = static_cast<const std::byte*>(address);
    auto next = ranges.upper_bound(byte);
    if (next != ranges.begin()) {
        const auto& [begin, bytes] = *std::prev(next);
        if (byte < begin + bytes) return static_cast<std::size_t>(begin + bytes - byte);
    }
    return next == ranges.end() ? SIZE_MAX : static_cast<std::size_t>(next->first - byte);
}

bool contains(const std::map<const std::byte*, std::int64_t>& ranges, const void* address) {
    const auto* byte = static_cast<const std::byte*>(address);
    auto next = ranges.upper_bound(byte);
    if (next == ranges.begin()) return false;
    --next;
    return byte < next->first + next->second;
}

// -1: host memory.
int device_of(const void* address) {
    for (int i = 0; i < current().gpus; ++i) {
        if (contains(all().devices[static_cast<std::size_t>(i)].allocations, address)) return i;
    }
    return -1;
}

struct stream {
    int device = current_device;
    double done = 0;
};

struct event {
    double done = 0;
};

stream& stream_of(void* handle) {
    static std::array<stream, most_gpus> legacy;
    if (handle != nullptr) return *static_cast<stream*>(handle);
    stream& one = legacy[static_cast<std::size_t>(current_device)];
    one.device = current_device;
    return one;
}

// Gives `engine` work of so many seconds, after what the stream did before.
void occupy(stream& on, double& engine, double duration) {
    const double start = std::max({now(), on.done, engine});
    engine = on.done = start + duration;
}

/// A copy of `rows` rows; returns how long the calling thread has to wait for it (pageable memory).
double copy_rows(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                 std::size_t row_bytes, std::size_t rows, stream& on) {
    const settings& s = current();
    state& a = all();
    const std::lock_guard lock(a.mutex);
    const int source = device_of(from);
    const int target = device_of(to);
    const auto bytes = static_cast<std::int64_t>(row_bytes * rows);
    double wait = 0;
    if (source >= 0 && target >= 0) {
        device& d = a.devices[static_cast<std::size_t>(target)];
        const double rate =
            source == target ? s.memory_bytes_per_second / 2 : s.bus_bytes_per_second;
        occupy(on, source == target ? d.compute : d.h2d,
               s.launch_seconds + static_cast<double>(bytes) / rate);
    } else if (source >= 0 || target >= 0) {
        device& d = a.devices[static_cast<std::size_t>(std::max(source, target))];
        const bool pinned = contains(a.pinned, target >= 0 ? from : to);
        const double rate = pinned ? s.bus_bytes_per_second : s.pageable_bytes_per_second;
        occupy(on, target >= 0 ? d.h2d : d.d2h, s.copy_seconds + static_cast<double>(bytes) / rate);
        (target >= 0 ? a.moved.h2d_bytes : a.moved.d2h_bytes) += bytes;
        if (!pinned) {
            wait = on.done;
            a.moved.pageable_bytes += bytes;
        }
    }
    if (s.computes) {
        for (std::size_t row = 0; row < rows; ++row) {
            std::memcpy(static_cast<std::byte*>(to) + row * to_pitch,
                        static_cast<const std::byte*>(from) + row * from_pitch, row_bytes);
        }
    }
    return wait;
}

// CUDA lets no other call pass while it locks pages.
std::mutex& locking() {
    static std::mutex mutex;
    return mutex;
}

// CUDA refuses host memory that is locked in several pieces, or in part.
bool is_uniform(const void* host, std::size_t pitch, std::size_t row_bytes, std::size_t rows) {
    const std::lock_guard lock(all().mutex);
    if (device_of(host) >= 0) return true;
    return (rows - 1) * pitch + row_bytes <= uniform_bytes(all().pinned, host);
}

cudaError_t copy(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                 std::size_t row_bytes, std::size_t rows, void* handle, bool waits) {
    if (row_bytes == 0 || rows == 0) return cudaSuccess;
    if (rows > 1 && std::max(to_pitch, from_pitch) > INT32_MAX)
        return failed(cudaErrorInvalidPitchValue);
    if (!is_uniform(to, to_pitch, row_bytes, rows) ||
        !is_uniform(from, from_pitch, row_bytes, rows))
        return failed(cudaErrorInvalidValue);
    stream& on = stream_of(handle);
    locking().lock();
    locking().unlock();
    const double wait = copy_rows(to, to_pitch, from, from_pitch, row_bytes, rows, on);
    sleep_until(waits ? on.done : wait);
    return cudaSuccess;
}

} // namespace

settings& current() {
    static settings instance = read_settings();
    return instance;
}

void take_memory(int device, std::int64_t bytes) {
    const std::lock_guard lock(all().mutex);
    all().devices[static_cast<std::size_t>(device)].taken_bytes = bytes;
}

std::int64_t used_bytes(int device) {
    const std::lock_guard lock(all().mutex);
    return all().devices[static_cast<std::size_t>(device)].used_bytes;
}

std::int64_t peak_bytes(int device) {
    const std::lock_guard lock(all().mutex);
    return all().devices[static_cast<std::size_t>(device)].peak_bytes;
}

void reset_peaks() {
    const std::lock_guard lock(all().mutex);
    for (device& d : all().devices)
        d.peak_bytes = d.used_bytes;
}

copied copied_bytes() {
    const std::lock_guard lock(all().mutex);
    return all().moved;
}

void enqueue_kernel(void* handle, double duration) {
    stream& on = stream_of(handle);
    const std::lock_guard lock(all().mutex);
    device& d = all().devices[static_cast<std::size_t>(on.device)];
    const double time = current().launch_seconds + duration;
    occupy(on, d.compute, time);
    d.busy_seconds += time;
}

double busy_seconds(int device) {
    const std::lock_guard lock(all().mutex);
    return all().devices[static_cast<std::size_t>(device)].busy_seconds;
}

} // namespace cqsa::simulated

using namespace cqsa::simulated;

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
    *count = current().gpus;
    return *count > 0 ? cudaSuccess : failed(cudaErrorNoDevice);
}

cudaError_t cudaSetDevice(int device) {
    if (device < 0 || device >= current().gpus) return failed(cudaErrorInvalidDevice);
    current_device = device;
    return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
    *device = current_device;
    return cudaSuccess;
}

cudaError_t cudaDeviceReset() {
    const std::lock_guard no_other(locking());
    const std::lock_guard lock(all().mutex);
    device& d = all().devices[static_cast<std::size_t>(current_device)];
    for (const auto& [begin, bytes] : d.allocations)
        munmap(const_cast<std::byte*>(begin), static_cast<std::size_t>(bytes));
    d.allocations.clear();
    d.used_bytes = 0;
    all().pinned.clear();
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
    double done = 0;
    {
        const std::lock_guard lock(all().mutex);
        const device& d = all().devices[static_cast<std::size_t>(current_device)];
        done = std::max({d.compute, d.h2d, d.d2h});
    }
    sleep_until(done);
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
    *properties = {};
    std::snprintf(properties->name, sizeof properties->name, "simulated GPU");
    properties->totalGlobalMem = static_cast<std::size_t>(current().memory_bytes);
    properties->major = 9;
    properties->multiProcessorCount = 132;
    properties->concurrentKernels = 1;
    properties->asyncEngineCount = 2;
    properties->unifiedAddressing = 1;
    properties->canMapHostMemory = 1;
    properties->pciBusID = device + 1;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int /*device*/) {
    switch (attribute) {
    case cudaDevAttrMultiProcessorCount:
        *value = 132;
        break;
    case cudaDevAttrComputeCapabilityMajor:
        *value = 9;
        break;
    case cudaDevAttrClockRate:
        *value = 1980000;
        break;
    default:
        *value = 0;
    }
    return cudaSuccess;
}

cudaError_t cudaDeviceCanAccessPeer(int* can, int device, int peer) {
    *can = device != peer ? 1 : 0;
    return cudaSuccess;
}

cudaError_t cudaDeviceEnablePeerAccess(int /*peer*/, unsigned /*flags*/) {
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
    const std::lock_guard lock(all().mutex);
    *free = static_cast<std::size_t>(
        all().devices[static_cast<std::size_t>(current_device)].free_bytes());
    *total = static_cast<std::size_t>(current().memory_bytes);
    return cudaSuccess;
}

cudaError_t cudaMalloc(void** address, std::size_t bytes) {
    const std::lock_guard lock(all().mutex);
    device& d = all().devices[static_cast<std::size_t>(current_device)];
    const std::int64_t rounded =
        (static_cast<std::int64_t>(bytes) + page_bytes - 1) / page_bytes * page_bytes;
    *address = nullptr;
    if (rounded > d.free_bytes()) return failed(cudaErrorMemoryAllocation);
    void* memory = mmap(nullptr, static_cast<std::size_t>(rounded), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return failed(cudaErrorMemoryAllocation);
    *address = memory;
    d.allocations[static_cast<const std::byte*>(memory)] = rounded;
    d.used_bytes += rounded;
    d.peak_bytes = std::max(d.peak_bytes, d.used_bytes);
    return cudaSuccess;
}

cudaError_t cudaFree(void* address) {
    if (address == nullptr) return cudaSuccess;
    const std::lock_guard lock(all().mutex);
    const auto* begin = static_cast<const std::byte*>(address);
    for (device& d : all().devices) {
        const auto entry = d.allocations.find(begin);
        if (entry == d.allocations.end()) continue;
        d.used_bytes -= entry->second;
        munmap(address, static_cast<std::size_t>(entry->second));
        d.allocations.erase(entry);
        return cudaSuccess;
    }
    return failed(cudaErrorInvalidValue);
}

cudaError_t cudaHostAlloc(void** address, std::size_t bytes, unsigned /*flags*/) {
    const double done = now() + static_cast<double>(bytes) / current().allocate_bytes_per_second;
    *address = std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
    if (*address == nullptr) return failed(cudaErrorMemoryAllocation);
    {
        const std::lock_guard lock(all().mutex);
        all().pinned[static_cast<const std::byte*>(*address)] = static_cast<std::int64_t>(bytes);
    }
    sleep_until(done);
    return cudaSuccess;
}

cudaError_t cudaFreeHost(void* address) {
    const std::lock_guard lock(all().mutex);
    all().pinned.erase(static_cast<const std::byte*>(address));
    std::free(address);
    return cudaSuccess;
}

cudaError_t cudaHostRegister(void* address, std::size_t bytes, unsigned /*flags*/) {
    const std::lock_guard no_other(locking());
    sleep_until(now() + current().register_seconds +
                static_cast<double>(bytes) / current().register_bytes_per_second);
    const std::lock_guard lock(all().mutex);
    all().pinned[static_cast<const std::byte*>(address)] = static_cast<std::int64_t>(bytes);
    return cudaSuccess;
}

cudaError_t cudaHostUnregister(void* address) {
    const std::lock_guard no_other(locking());
    const std::lock_guard lock(all().mutex);
    return all().pinned.erase(static_cast<const std::byte*>(address)) > 0
               ? cudaSuccess
               : failed(cudaErrorInvalidValue);
}

cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned /*flags*/) {
    *device = host;
    return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* address) {
    const std::lock_guard lock(all().mutex);
    *attributes = {};
    const int device = device_of(address);
    attributes->device = std::max(device, 0);
    attributes->type = device >= 0                       ? cudaMemoryTypeDevice
                       : contains(all().pinned, address) ? cudaMemoryTypeHost
                                                         : cudaMemoryTypeUnregistered;
    attributes->devicePointer = attributes->hostPointer = const_cast<void*>(address);
    return cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind /*kind*/) {
    return copy(to, bytes, from, bytes, bytes, 1, nullptr, true);
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind /*kind*/,
                            cudaStream_t stream) {
    return copy(to, bytes, from, bytes, bytes, 1, stream, false);
}

cudaError_t cudaMemcpy2D(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                         std::size_t width, std::size_t height, cudaMemcpyKind /*kind*/) {
    return copy(to, to_pitch, from, from_pitch, width, height, nullptr, true);
}

cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from,
                              std::size_t from_pitch, std::size_t width, std::size_t height,
                              cudaMemcpyKind /*kind*/, cudaStream_t stream) {
    return copy(to, to_pitch, from, from_pitch, width, height, stream, false);
}

cudaError_t cudaMemcpyPeer(void* to, int /*to_device*/, const void* from, int /*from_device*/,
                           std::size_t bytes) {
    return copy(to, bytes, from, bytes, bytes, 1, nullptr, true);
}

cudaError_t cudaMemcpyPeerAsync(void* to, int /*to_device*/, const void* from, int /*from_device*/,
                                std::size_t bytes, cudaStream_t stream) {
    return copy(to, bytes, from, bytes, bytes, 1, stream, false);
}

static cudaError_t copy_planes(const cudaMemcpy3DPeerParms* p, cudaStream_t stream, bool waits) {
    for (std::size_t z = 0; z < p->extent.depth; ++z) {
        copy(static_cast<std::byte*>(p->dstPtr.ptr) + z * p->dstPtr.pitch * p->dstPtr.ysize,
             p->dstPtr.pitch,
             static_cast<const std::byte*>(p->srcPtr.ptr) + z * p->srcPtr.pitch * p->srcPtr.ysize,
             p->srcPtr.pitch, p->extent.width, p->extent.height, stream, waits);
    }
    return cudaSuccess;
}

cudaError_t cudaMemcpy3DPeer(const cudaMemcpy3DPeerParms* parameters) {
    return copy_planes(parameters, nullptr, true);
}

cudaError_t cudaMemcpy3DPeerAsync(const cudaMemcpy3DPeerParms* parameters, cudaStream_t stream) {
    return copy_planes(parameters, stream, false);
}

cudaError_t cudaMemset(void* address, int value, std::size_t bytes) {
    if (current().computes) std::memset(address, value, bytes);
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* handle, unsigned /*flags*/) {
    *handle = reinterpret_cast<cudaStream_t>(new stream);
    return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t* handle) {
    return cudaStreamCreateWithFlags(handle, 0);
}

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
    delete &stream_of(handle);
    return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
    return now() >= stream_of(handle).done ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
    sleep_until(stream_of(handle).done);
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t of, unsigned /*flags*/) {
    stream& on = stream_of(handle);
    on.done = std::max(on.done, reinterpret_cast<event*>(of)->done);
    return cudaSuccess;
}

// At once, as copies are made at once, too; what comes after it on the stream waits as long as it
// took.
cudaError_t cudaLaunchHostFunc(cudaStream_t handle, cudaHostFn_t function, void* argument) {
    const double start = now();
    function(argument);
    stream& on = stream_of(handle);
    on.done = std::max(start, on.done) + now() - start;
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* handle, unsigned /*flags*/) {
    *handle = reinterpret_cast<cudaEvent_t>(new event);
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* handle) {
    return cudaEventCreateWithFlags(handle, 0);
}

cudaError_t cudaEventDestroy(cudaEvent_t handle) {
    delete reinterpret_cast<event*>(handle);
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t handle, cudaStream_t on) {
    reinterpret_cast<event*>(handle)->done = std::max(now(), stream_of(on).done);
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t handle) {
    return now() >= reinterpret_cast<event*>(handle)->done ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
    sleep_until(reinterpret_cast<event*>(handle)->done);
    return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t first, cudaEvent_t second) {
    *milliseconds = static_cast<float>(
        1e3 * (reinterpret_cast<event*>(second)->done - reinterpret_cast<event*>(first)->done));
    return cudaSuccess;
}

cudaError_t cudaGetLastError() {
    return std::exchange(last_error, cudaSuccess);
}

cudaError_t cudaPeekAtLastError() {
    return last_error;
}

const char* cudaGetErrorString(cudaError_t error) {
    return error == cudaSuccess ? "no error" : "error of a simulated GPU";
}

} // extern "C"
