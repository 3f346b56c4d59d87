// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

/// The PTX that CUDA C++ has no words for, each wrapped once. Encodings and rules: PTX ISA 9.0,
/// "Asynchronous Warpgroup Level Matrix Instructions", "Tensor Map", "mbarrier"; layouts of the
/// shared-memory matrix descriptor: CUTLASS include/cute/atom/mma_traits_sm90_gmma.hpp.
namespace cqsa::cuda::ptx {

// ---------------------------------------------------------------- shared-memory barriers

__device__ inline std::uint32_t shared_address(const void* pointer) {
    return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

__device__ inline void barrier_init(std::uint64_t* barrier, int arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)),
                 "r"(arrivals)
                 : "memory");
}

/// Makes the initialised barriers visible to the copy engine.
__device__ inline void fence_barrier_init() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ inline void barrier_arrive(std::uint64_t* barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier))
                 : "memory");
}

/// One arrival, and `bytes` more to come from the copy engine before the phase completes.
__device__ inline void barrier_arrive_expect(std::uint64_t* barrier, std::uint32_t bytes) {
    asm volatile(
        "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
        "r"(bytes)
        : "memory");
}

/// Waits for the completion of the phase of this parity; on a fresh barrier parity 1 is complete.
__device__ inline void barrier_wait(std::uint64_t* barrier, std::uint32_t parity) {
    asm volatile("{\n"
                 ".reg .pred done;\n"
                 "again:\n"
                 "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
                 "@!done bra again;\n"
                 "}" ::"r"(shared_address(barrier)),
                 "r"(parity)
                 : "memory");
}

/// Hardware barriers 1 to 15 (0 is __syncthreads), over `threads` threads in all.
__device__ inline void named_barrier_sync(int id, int threads) {
    asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}
__device__ inline void named_barrier_arrive(int id, int threads) {
    asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

// ---------------------------------------------------------------- clusters of CTAs

/// This CTA's place in its cluster.
__device__ inline int cluster_rank() {
    int rank = 0;
    asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}

/// The address, in the cluster's window, of what lies at the same place in the CTA `rank`.
__device__ inline std::uint32_t cluster_address(const void* pointer, int rank) {
    std::uint32_t address = 0;
    asm("mapa.shared::cluster.u32 %0, %1, %2;"
        : "=r"(address)
        : "r"(shared_address(pointer)), "r"(rank));
    return address;
}

/// Waits for all threads of the cluster.
__device__ inline void cluster_sync() {
    asm volatile("barrier.cluster.arrive;\nbarrier.cluster.wait;" ::: "memory");
}

/// An arrival at the barrier at this place in the CTA `rank`. Publishes no writes of this thread:
/// that would take a fence of the whole GPU.
__device__ inline void barrier_arrive_at(int rank, std::uint64_t* barrier) {
    asm volatile(
        "mbarrier.arrive.shared::cluster.b64 _, [%0];" ::"r"(cluster_address(barrier, rank))
        : "memory");
}

/// Writes a number to this place in the CTA `rank`, whose barrier counts its four bytes.
__device__ inline void store_at(int rank, int* place, int value, std::uint64_t* barrier) {
    asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.b32 [%0], %1, [%2];" ::"r"(
                     cluster_address(place, rank)),
                 "r"(value), "r"(cluster_address(barrier, rank))
                 : "memory");
}

// ---------------------------------------------------------------- bulk tensor copies

/// L2 policies: the constants createpolicy.fractional gives for a fraction of 1 (CUTLASS
/// include/cute/arch/copy_sm90_desc.hpp, TMA::CacheHintSm90).
constexpr std::uint64_t evict_first = 0x12F0000000000000;
constexpr std::uint64_t evict_last = 0x14F0000000000000;

__device__ inline void prefetch_tensor_map(const CUtensorMap* map) {
    asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

/// Copies the map's box at (column, token, head, batch) to shared memory; what lies outside the
/// tensor arrives as zeros. Counts its bytes on `barrier`.
__device__ inline void copy_box(void* to, const CUtensorMap* map, std::uint64_t* barrier,
                                int column, int token, int head, int batch, std::uint64_t policy) {
    asm volatile(
        "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
        ".L2::cache_hint [%0], [%1, {%3, %4, %5, %6}], [%2], %7;" ::"r"(shared_address(to)),
        "l"(map), "r"(shared_address(barrier)), "r"(column), "r"(token), "r"(head), "r"(batch),
        "l"(policy)
        : "memory");
}

/// The same for all CTAs of `mask`: to this place in each, counted on its barrier at this place.
__device__ inline void copy_box_to(std::uint16_t mask, void* to, const CUtensorMap* map,
                                   std::uint64_t* barrier, int column, int token, int head,
                                   int batch, std::uint64_t policy) {
    asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.tile"
                 ".mbarrier::complete_tx::bytes.multicast::cluster.L2::cache_hint"
                 " [%0], [%1, {%3, %4, %5, %6}], [%2], %7, %8;" ::"r"(shared_address(to)),
                 "l"(map), "r"(shared_address(barrier)), "r"(column), "r"(token), "r"(head),
                 "r"(batch), "h"(mask), "l"(policy)
                 : "memory");
}

/// Brings memory to L2; what shares a 16-byte word with something before or after may be left out.
__device__ inline void prefetch_to_l2(const void* memory, std::uint32_t bytes) {
    const auto begin = reinterpret_cast<std::uint64_t>(memory) + 15 & ~std::uint64_t{15};
    const auto end = reinterpret_cast<std::uint64_t>(memory) + bytes & ~std::uint64_t{15};
    if (begin >= end) return;
    asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(begin),
                 "r"(static_cast<std::uint32_t>(end - begin))
                 : "memory");
}

// ---------------------------------------------------------------- launches that overlap

/// Lets the stream's next kernel begin on multiprocessors that this one leaves, if it was launched
/// with programmatic stream serialization.
__device__ inline void allow_next_launch() {
    asm volatile("griddepcontrol.launch_dependents;");
}
/// Waits until the kernels before this one in the stream have ended and what they wrote is visible.
__device__ inline void wait_for_launches_before() {
    asm volatile("griddepcontrol.wait;" ::: "memory");
}

// ---------------------------------------------------------------- registers

/// threadIdx.x, read anew each time: what follows from it is not kept in registers in between.
__device__ inline int thread_index() {
    int index;
    asm volatile("mov.u32 %0, %%tid.x;" : "=r"(index));
    return index;
}

template<int Count>
__device__ inline void raise_registers() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Count));
}
template<int Count>
__device__ inline void lower_registers() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Count));
}

// ---------------------------------------------------------------- arithmetic

/// 2^x within 2 ulp; 2^−inf = 0.
__device__ inline float exp2(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

template<class Element>
__device__ inline std::uint32_t pack(float low, float high);
template<>
__device__ inline std::uint32_t pack<__half>(float low, float high) {
    std::uint32_t packed;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
}
template<>
__device__ inline std::uint32_t pack<__nv_bfloat16>(float low, float high) {
    std::uint32_t packed;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
}

// ---------------------------------------------------------------- warpgroup matrix products

/// Descriptor of an operand stored as panels of 64 columns (128-byte rows, 1024-byte aligned,
/// 128-byte swizzle): start address, distance of panels (used where an operand spans several) and
/// distance of groups of eight rows, in units of 16 bytes.
__device__ inline std::uint64_t matrix_descriptor(std::uint32_t start, std::uint32_t panel_bytes) {
    constexpr std::uint32_t eight_rows = 1024 >> 4;
    constexpr std::uint32_t swizzle_128_bytes = 1U << 30;
    constexpr std::uint32_t inside_cta = 0x3FFFF; // the bits above tell the CTA of a cluster
    return static_cast<std::uint64_t>(eight_rows | swizzle_128_bytes) << 32 |
           (((start & inside_cta) >> 4) + (panel_bytes >> 4 << 16));
}

/// Orders accesses to accumulators and A registers before the next products.
__device__ inline void products_begin() {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ inline void products_commit() {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
/// Waits until at most `Pending` committed groups are not complete.
template<int Pending>
__device__ inline void products_wait() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Pending) : "memory");
}

/// Keeps the compiler from moving accesses to these registers across this point.
template<int N>
__device__ inline void pin(float (&values)[N]) {
#pragma unroll
    for (int i = 0; i < N; ++i)
        asm volatile("" : "+f"(values[i])::"memory");
}
template<int N>
__device__ inline void pin(std::uint32_t (&values)[N]) {
#pragma unroll
    for (int i = 0; i < N; ++i)
        asm volatile("" : "+r"(values[i])::"memory");
}

} // namespace cqsa::cuda::ptx
