// SPDX-License-Identifier: Apache-2.0
#include "runtime/pinned_memory.hpp"

#include "codelets/staged_copies.hpp"
#include "planner/step_stream.hpp"
#include "runtime/anonymous_memory.hpp"

#include <algorithm>
#include <chrono>

#ifdef CQSA_WITH_CUDA
#include <cuda_runtime_api.h>
#endif

namespace cqsa {
namespace {

// Half a millisecond each, of which a tenth for the call itself.
constexpr std::size_t piece_bytes = std::size_t{8} << 20;
// Steps that the first tasks of two interleaved strips make.
constexpr int first_steps = 2;
// The first strips walk over all keys and values as fast as they are locked. Queries and outputs
// are wanted strip by strip.
constexpr std::chrono::microseconds short_rest{50};
constexpr int long_rest = 3; // times what locking the piece took

#ifdef CQSA_WITH_CUDA
bool lock_pages(HostPieces::range memory) {
    auto* begin = reinterpret_cast<void*>(memory.begin);
    const bool locked =
        cudaHostRegister(begin, memory.bytes, cudaHostRegisterPortable) == cudaSuccess;
    if (!locked) cudaGetLastError(); // not an error of the run: clear it
    return locked;
}
void unlock_pages(void* begin) {
    cudaHostUnregister(begin);
}
bool is_locked(const void* address) {
    return StagedCopies::is_page_locked(address);
}
std::shared_ptr<StagedCopies> make_staged_copies() {
    return std::make_shared<StagedCopies>();
}
#else
bool lock_pages(HostPieces::range /*memory*/) {
    return false;
}
void unlock_pages(void* /*begin*/) {}
bool is_locked(const void* /*address*/) {
    return true;
}
std::shared_ptr<StagedCopies> make_staged_copies() {
    return nullptr;
}
#endif

tensor as_tensor(const mutable_tensor& x) {
    return {x.data, x.type, x.shape, x.strides};
}

// From the first byte of `tokens` tokens of one batch and head to the last.
HostPieces::range run_of(const tensor& x, std::int64_t batch, std::int64_t head, std::int64_t begin,
                         std::int64_t tokens) {
    const std::int64_t first = batch * x.strides[0] + head * x.strides[1] + begin * x.strides[2];
    const std::int64_t elements = (tokens - 1) * x.strides[2] + x.shape[3];
    return {reinterpret_cast<std::uintptr_t>(x.data) +
                static_cast<std::uintptr_t>(first * bytes_of(x.type)),
            static_cast<std::size_t>(elements * bytes_of(x.type))};
}

// The whole array, unless it is empty, the caller has locked it, or it maps a file: locking the
// pages of a file may fail or hang, and keeps the system from writing and dropping them.
HostPieces::range lockable_range(const tensor& x) {
    if (x.data == nullptr || std::ranges::any_of(x.shape, [](auto n) { return n == 0; })) return {};
    const HostPieces::range first = run_of(x, 0, 0, 0, x.shape[2]);
    const HostPieces::range last = run_of(x, x.shape[0] - 1, x.shape[1] - 1, 0, x.shape[2]);
    const std::uintptr_t end = last.begin + last.bytes;
    if (is_locked(x.data) && is_locked(reinterpret_cast<const void*>(end - 1))) return {};
    if (!is_anonymous_memory(first.begin, end - first.begin)) return {};
    return {first.begin, end - first.begin};
}

HostPieces pieces_of(const operands& given) {
    return {{lockable_range(given.q), lockable_range(given.k), lockable_range(given.v),
             lockable_range(as_tensor(given.out)), lockable_range(as_tensor(given.lse))},
            piece_bytes};
}

} // namespace

PinnedMemory::PinnedMemory(const operands& given, const plan& followed)
    : given_(given), plan_(followed), pieces_(pieces_of(given)), staged_(make_staged_copies()),
      tried_(pieces_.count()), untried_(pieces_.count()),
      thread_([this](const std::stop_token& stop) { pin(stop); }) {}

PinnedMemory::~PinnedMemory() {
    thread_.request_stop();
    thread_.join();
    for (void* begin : pinned_)
        unlock_pages(begin);
}

void PinnedMemory::pin(const std::stop_token& stop) {
    step_stream steps(plan_);
    std::int64_t count = 0;
    while (untried_ > 0 && !stop.stop_requested()) {
        const auto step = steps.next();
        if (!step) break;
        for (const std::int64_t block : step->queries) {
            const std::int64_t begin = plan_.queries.begin(block);
            const std::int64_t tokens = plan_.queries.size(block);
            if (step->kind == step_kind::attend) {
                pin_block(stop, haste::leisurely, given_.q, begin, tokens);
            } else if (step->kind == step_kind::finalize) {
                pin_block(stop, haste::leisurely, as_tensor(given_.out), begin, tokens);
                pin_block(stop, haste::leisurely, as_tensor(given_.lse), begin, tokens);
            }
        }
        for (const std::int64_t block : step->keys) {
            pin_block(stop, haste::hurried, given_.k, plan_.keys.begin(block),
                      plan_.keys.size(block));
            pin_block(stop, haste::hurried, given_.v, plan_.keys.begin(block),
                      plan_.keys.size(block));
        }
        if (++count == first_steps) {
            const std::lock_guard lock(mutex_);
            first_steps_done_ = true;
            changed_.notify_all();
        }
    }
    const std::lock_guard lock(mutex_);
    first_steps_done_ = true;
    changed_.notify_all();
}

void PinnedMemory::pin_block(const std::stop_token& stop, haste how, const tensor& array,
                             std::int64_t begin, std::int64_t tokens) {
    if (array.data == nullptr || tokens == 0) return;
    for (std::int64_t batch = 0; batch < array.shape[0]; ++batch) {
        for (std::int64_t head = 0; head < array.shape[1]; ++head) {
            const HostPieces::range run = run_of(array, batch, head, begin, tokens);
            const std::size_t first = pieces_.piece_of(run.begin);
            if (first == pieces_.count()) return; // locked by the caller
            const std::size_t last = pieces_.piece_of(run.begin + run.bytes - 1);
            for (std::size_t index = first; index <= last; ++index) {
                if (stop.stop_requested()) return;
                if (!tried_[index]) pin_piece(index, how);
            }
        }
    }
}

void PinnedMemory::pin_piece(std::size_t index, haste how) {
    tried_[index] = true;
    --untried_;
    const auto start = std::chrono::steady_clock::now();
    const HostPieces::range memory = pieces_.piece(index);
    if (!lock_pages(memory)) return;
    pinned_.push_back(reinterpret_cast<void*>(memory.begin));
    if (how == haste::hurried || !first_steps_done_) {
        std::this_thread::sleep_for(short_rest);
    } else {
        std::this_thread::sleep_for(long_rest * (std::chrono::steady_clock::now() - start));
    }
}

void PinnedMemory::wait_for_first_steps() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return first_steps_done_; });
}

} // namespace cqsa
