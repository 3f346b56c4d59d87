// SPDX-License-Identifier: Apache-2.0
#include "bench/in_core.hpp"

#include "planner/error.hpp"

#ifdef CQSA_WITH_CUDA
#include "bench/cuda/device.hpp"
#include "bench/timing.hpp"
#include "codelets/finalize/finalize.hpp"
#include "runtime/gpu.hpp"

#include <chrono>
#include <utility>
#include <vector>
#endif

namespace cqsa::bench {

#ifdef CQSA_WITH_CUDA

namespace {

state_layout layout_of(const attend_case& x) {
    return {x.problem(), x.tokens};
}

std::int64_t operand_bytes(const attend_case& x) {
    return x.heads * x.tokens * x.head_dim * bytes_of(x.type);
}

std::int64_t lse_bytes(const attend_case& x) {
    return x.heads * x.tokens * bytes_of(state_type(x.type));
}

/// A case with all its data on the GPU.
class Resident {
  public:
    explicit Resident(const attend_case& x)
        : case_(x), q_(operand_bytes(x)), k_(operand_bytes(x)), v_(operand_bytes(x)),
          out_(operand_bytes(x)), lse_(lse_bytes(x)),
          state_(static_cast<std::int64_t>(layout_of(x).bytes())),
          workspace_(static_cast<std::int64_t>(cuda::attend_workspace_bytes(task({}, {}), 0))) {
        workspace_.clear();
    }

    /// What it takes beside the workspace.
    static std::int64_t bytes(const attend_case& x) {
        return 4 * operand_bytes(x) + lse_bytes(x) +
               static_cast<std::int64_t>(layout_of(x).bytes());
    }

    void load(const HostArrays& host, cudaStream_t stream) {
        copy(q_.data(), host.q().data, operand_bytes(case_), stream);
        copy(k_.data(), host.k().data, operand_bytes(case_), stream);
        copy(v_.data(), host.v().data, operand_bytes(case_), stream);
    }

    void store(const HostArrays& host, cudaStream_t stream) {
        copy(host.out().data, out_.data(), operand_bytes(case_), stream);
        copy(host.lse().data, lse_.data(), lse_bytes(case_), stream);
    }

    void zero() {
        for (const DeviceArray* array : {&q_, &k_, &v_})
            array->clear();
    }

    void attend(cudaStream_t stream) {
        query_block query;
        query.q = view(q_);
        query.state = layout_of(case_).view(state_.data());
        query.tokens = case_.tokens;
        query.fresh = true;
        key_block key;
        key.k = view(k_);
        key.v = view(v_);
        key.tokens = case_.tokens;
        cuda::attend(task(query, key), workspace_.span(), stream);

        finalize_task last;
        last.type = last.out_type = case_.type;
        last.heads = case_.heads;
        last.tokens = case_.tokens;
        last.head_dim = case_.head_dim;
        last.state = query.state;
        last.out = {out_.data(), 0, case_.tokens * case_.head_dim, case_.head_dim};
        last.lse = {lse_.data(), 0, case_.tokens, 1};
        cuda::finalize(last, stream);
    }

  private:
    static void copy(void* to, const void* from, std::int64_t bytes, cudaStream_t stream) {
        cuda::check(
            cudaMemcpyAsync(to, from, static_cast<std::size_t>(bytes), cudaMemcpyDefault, stream),
            "copying");
    }

    [[nodiscard]] tensor_view view(const DeviceArray& x) const {
        return {x.data(), 0, case_.tokens * case_.head_dim, case_.head_dim};
    }

    /// Valid until the next call.
    attend_task task(const query_block& query, const key_block& key) {
        query_ = query;
        key_ = key;
        query_.tokens = key_.tokens = case_.tokens;
        if (query_.q.data == nullptr) query_.q = key_.k = key_.v = view(q_);
        pair_ = case_.causal ? pair_kind::causal : pair_kind::dense;
        const attend_task task = task_of(case_, query_, key_, pair_);
        const std::string why = cuda::attend_unsupported(task, 0);
        if (!why.empty()) throw Error(error_code::device, why);
        return task;
    }

    attend_case case_;
    query_block query_;
    key_block key_;
    pair_kind pair_ = pair_kind::dense;
    DeviceArray q_, k_, v_, out_, lse_, state_;
    DeviceArray workspace_;
};

void need_gpu() {
    if (!gpu_free_bytes()) throw Error(error_code::device, "there is no GPU");
    cuda::check(cudaSetDevice(0), "choosing a device");
}

} // namespace

std::string gpu_name() {
    const std::vector<gpu_facts> gpus = list_gpus();
    return gpus.empty() ? "" : gpus.front().name;
}

std::optional<std::int64_t> gpu_free_bytes() {
    std::size_t free = 0;
    std::size_t total = 0;
    if (cudaSetDevice(0) != cudaSuccess || cudaMemGetInfo(&free, &total) != cudaSuccess) {
        cudaGetLastError();
        return std::nullopt;
    }
    return static_cast<std::int64_t>(free);
}

in_core_times measure_in_core(const attend_case& x, const HostArrays& host, int rounds) {
    need_gpu();
    const std::int64_t free = *gpu_free_bytes();
    constexpr std::int64_t for_workspace = std::int64_t{64} << 20;
    if (Resident::bytes(x) + for_workspace > free) {
        throw Error(error_code::does_not_fit,
                    "the GPU has " + std::to_string(free >> 20) + " MiB free, and " +
                        std::to_string(Resident::bytes(x) >> 20) + " MiB are needed");
    }
    Resident attention(x);
    Stream stream;
    in_core_times times;
    times.device_bytes = free - *gpu_free_bytes();
    const PinnedArrays pinned(host);
    times.transfers = stream.seconds([&](cudaStream_t on) { attention.load(host, on); });
    std::vector<double> kernel;
    for (int i = rounds > 0 ? -1 : 0; i < std::max(rounds, 1); ++i) {
        const double seconds = stream.seconds([&](cudaStream_t on) { attention.attend(on); });
        if (i >= 0) kernel.push_back(seconds);
    }
    times.kernel = median(kernel);
    times.transfers += stream.seconds([&](cudaStream_t on) { attention.store(host, on); });
    return times;
}

void load_kernels(attend_case x) {
    need_gpu();
    x.tokens = std::min<std::int64_t>(x.tokens, 4096);
    Resident attention(x);
    attention.zero();
    Stream stream;
    stream.seconds([&](cudaStream_t on) { attention.attend(on); });
}

PinnedArrays::PinnedArrays(const HostArrays& host) {
    const std::pair<const void*, std::int64_t> arrays[] = {{host.q().data, host.operand_bytes()},
                                                           {host.k().data, host.operand_bytes()},
                                                           {host.v().data, host.operand_bytes()},
                                                           {host.out().data, host.operand_bytes()},
                                                           {host.lse().data, host.lse_bytes()}};
    for (const auto& [data, bytes] : arrays) {
        void* begin = const_cast<void*>(data);
        if (cudaHostRegister(begin, static_cast<std::size_t>(bytes), cudaHostRegisterPortable) ==
            cudaSuccess) {
            pinned_.push_back(begin);
        } else {
            cudaGetLastError(); // it is already, or the system has a limit: copies are slower then
        }
    }
}

PinnedArrays::~PinnedArrays() {
    for (void* begin : pinned_)
        cudaHostUnregister(begin);
}

FreeMemoryWatch::FreeMemoryWatch() : least_(gpu_free_bytes()) {
    if (!least_) return;
    thread_ = std::jthread([this](const std::stop_token& stop) {
        while (!stop.stop_requested()) {
            least_ = std::min(*least_, gpu_free_bytes().value_or(*least_));
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
    });
}

std::optional<std::int64_t> FreeMemoryWatch::least() {
    if (thread_.joinable()) {
        thread_.request_stop();
        thread_.join();
    }
    return least_;
}

#else

namespace {
constexpr const char* no_cuda = "this build has no CUDA";
}

std::string gpu_name() {
    return {};
}

std::optional<std::int64_t> gpu_free_bytes() {
    return std::nullopt;
}

in_core_times measure_in_core(const attend_case& /*x*/, const HostArrays& /*host*/,
                              int /*rounds*/) {
    throw Error(error_code::device, no_cuda);
}

void load_kernels(attend_case /*x*/) {
    throw Error(error_code::device, no_cuda);
}

PinnedArrays::PinnedArrays(const HostArrays& /*host*/) {}

PinnedArrays::~PinnedArrays() = default;

FreeMemoryWatch::FreeMemoryWatch() = default;

std::optional<std::int64_t> FreeMemoryWatch::least() {
    return std::nullopt;
}

#endif

} // namespace cqsa::bench
