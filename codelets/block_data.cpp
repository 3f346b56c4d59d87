// SPDX-License-Identifier: Apache-2.0
#include "codelets/block_data.hpp"

#include "codelets/block_pool.hpp"
#include "codelets/staged_copies.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <limits>

namespace cqsa {
namespace {

constexpr std::int64_t part_alignment = 256;

std::int64_t aligned(std::int64_t bytes) {
    return (bytes + part_alignment - 1) / part_alignment * part_alignment;
}

std::atomic<std::int64_t> host_bytes_now{0};
std::atomic<std::int64_t> host_bytes_before{0};
std::atomic<std::int64_t> host_bytes_peak{0};
std::atomic<std::int64_t> device_bytes_peak{0};

void raise(std::atomic<std::int64_t>& peak, std::int64_t bytes) {
    std::int64_t seen = peak;
    while (bytes > seen && !peak.compare_exchange_weak(seen, bytes)) {
    }
}

void count_allocation(unsigned node, std::int64_t bytes) {
    if (starpu_node_get_kind(node) == STARPU_CPU_RAM) {
        raise(host_bytes_peak, host_bytes_now += bytes);
    } else {
        count_device_memory(node);
    }
}

block_data& as_block(void* interface) {
    return *static_cast<block_data*>(interface);
}

// Strides of a packed copy whose axes follow the order of the caller's memory.
void set_packed_strides(block_part& part, const std::uint8_t (&order)[3]) {
    std::int64_t stride = part.row_bytes;
    for (int level = 2; level >= 0; --level) {
        part.strides[order[level]] = stride;
        stride *= part.extents[order[level]];
    }
}

void point_into_buffer(block_data& block, std::uintptr_t buffer) {
    block.buffer = buffer;
    std::int64_t offset = 0;
    for (int p = 0; p < block.parts; ++p) {
        set_packed_strides(block.part[p], block.order[p]);
        block.part[p].data = reinterpret_cast<void*>(buffer + offset);
        offset += aligned(block.part[p].bytes());
    }
}

// Makes a buffer of the node the block's.
void adopt_buffer(block_data& block, std::uintptr_t buffer, unsigned node) {
    point_into_buffer(block, buffer);
    if (block.cleared && starpu_node_get_kind(node) == STARPU_CUDA_RAM)
        clear_buffer(node, buffer, block.alloc_bytes);
}

void register_handle(starpu_data_handle_t handle, int home_node, void* interface) {
    for (int node = 0; node < STARPU_MAXNODES; ++node) {
        block_data& local = as_block(starpu_data_get_interface_on_node(handle, node));
        const starpu_data_interface_id id = local.id;
        local = as_block(interface);
        local.id = id;
        local.buffer = 0;
        if (node != home_node) {
            for (int p = 0; p < local.parts; ++p)
                local.part[p].data = nullptr;
        }
    }
}

starpu_ssize_t allocate(void* interface, unsigned node) {
    block_data& block = as_block(interface);
    const std::uintptr_t buffer = take_buffer(node, block.alloc_bytes);
    if (buffer == 0) return -ENOMEM;
    count_allocation(node, block.alloc_bytes);
    adopt_buffer(block, buffer, node);
    return block.alloc_bytes;
}

void release(void* interface, unsigned node) {
    block_data& block = as_block(interface);
    give_buffer(node, block.buffer, block.alloc_bytes);
    count_allocation(node, -block.alloc_bytes);
    block.buffer = 0;
    for (int p = 0; p < block.parts; ++p)
        block.part[p].data = nullptr;
}

void put_in_cache(void* cached, void* source, unsigned /*node*/) {
    block_data& from = as_block(source);
    as_block(cached) = from;
    from.buffer = 0;
    for (int p = 0; p < from.parts; ++p)
        from.part[p].data = nullptr;
}

void take_from_cache(void* interface, const void* cached, unsigned node) {
    adopt_buffer(as_block(interface), static_cast<const block_data*>(cached)->buffer, node);
}

void* to_pointer(void* interface, unsigned /*node*/) {
    return as_block(interface).part[0].data;
}

block_data& any_of(starpu_data_handle_t handle) {
    return as_block(starpu_data_get_interface_on_node(handle, STARPU_MAIN_RAM));
}

size_t data_bytes(starpu_data_handle_t handle) {
    const block_data& block = any_of(handle);
    std::int64_t bytes = 0;
    for (int p = 0; p < block.parts; ++p)
        bytes += block.part[p].bytes();
    return static_cast<size_t>(bytes);
}

size_t alloc_bytes(starpu_data_handle_t handle) {
    return static_cast<size_t>(any_of(handle).alloc_bytes);
}

uint32_t footprint(starpu_data_handle_t handle) {
    const block_data& block = any_of(handle);
    uint32_t hash = 0;
    for (int p = 0; p < block.parts; ++p) {
        hash = starpu_hash_crc32c_be_n(&block.part[p].row_bytes, sizeof(std::int64_t), hash);
        hash =
            starpu_hash_crc32c_be_n(block.part[p].extents.data(), 3 * sizeof(std::int64_t), hash);
    }
    return hash;
}

uint32_t alloc_footprint(starpu_data_handle_t handle) {
    const std::int64_t bytes = any_of(handle).alloc_bytes;
    return starpu_hash_crc32c_be_n(&bytes, sizeof bytes, 0);
}

int same_shape(void* left, void* right) {
    const block_data& a = as_block(left);
    const block_data& b = as_block(right);
    bool same = a.parts == b.parts;
    for (int p = 0; same && p < a.parts; ++p) {
        same = a.part[p].row_bytes == b.part[p].row_bytes && a.part[p].extents == b.part[p].extents;
    }
    return same ? 1 : 0;
}

int same_allocation(void* left, void* right) {
    return as_block(left).alloc_bytes == as_block(right).alloc_bytes ? 1 : 0;
}

void display(starpu_data_handle_t handle, FILE* file) {
    const block_part& part = any_of(handle).part[0];
    std::fprintf(file, "%ld\t%ld\t%ld\t%ld\t", static_cast<long>(part.extents[0]),
                 static_cast<long>(part.extents[1]), static_cast<long>(part.extents[2]),
                 static_cast<long>(part.row_bytes));
}

starpu_ssize_t describe(void* interface, char* text, size_t size) {
    const block_part& part = as_block(interface).part[0];
    return std::snprintf(text, size, "B%ldx%ldx%ldx%ld", static_cast<long>(part.extents[0]),
                         static_cast<long>(part.extents[1]), static_cast<long>(part.extents[2]),
                         static_cast<long>(part.row_bytes));
}

struct copy_axis {
    std::int64_t extent;
    std::int64_t from_stride;
    std::int64_t to_stride;
};

// How StarPU wants a copy to be made: in the order of a CUDA stream, or as it knows itself.
struct channel {
    void* stream = nullptr; ///< cudaStream_t
    void* async = nullptr;  ///< StarPU's
};

struct copy_ends {
    std::uintptr_t from;
    unsigned from_node;
    std::uintptr_t to;
    unsigned to_node;
    channel by;
    const HostPieces* pieces;
    std::uintptr_t copy_ends::*host; ///< the end in host memory, which is cut where pieces meet
};

#ifdef CQSA_WITH_CUDA
cudaMemcpyKind direction_of(const copy_ends& ends) {
    return ends.host == &copy_ends::from ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost;
}
#endif

// Copies contiguous bytes. Not 0: the copy is under way.
int copy_bytes(const copy_ends& ends, std::int64_t bytes) {
#ifdef CQSA_WITH_CUDA
    if (ends.by.stream != nullptr)
        return starpu_cuda_copy_async_sync(
            reinterpret_cast<void*>(ends.from), ends.from_node, reinterpret_cast<void*>(ends.to),
            ends.to_node, static_cast<size_t>(bytes), static_cast<cudaStream_t>(ends.by.stream),
            direction_of(ends));
#endif
    return starpu_interface_copy(ends.from, 0, ends.from_node, ends.to, 0, ends.to_node,
                                 static_cast<size_t>(bytes), ends.by.async);
}

// Copies `rows` rows of `bytes` bytes.
int copy_rows(const copy_ends& ends, std::int64_t bytes, std::int64_t rows,
              std::int64_t from_stride, std::int64_t to_stride) {
#ifdef CQSA_WITH_CUDA
    if (ends.by.stream != nullptr)
        return starpu_cuda_copy2d_async_sync(
            reinterpret_cast<void*>(ends.from), ends.from_node, reinterpret_cast<void*>(ends.to),
            ends.to_node, static_cast<size_t>(bytes), static_cast<size_t>(rows),
            static_cast<size_t>(from_stride), static_cast<size_t>(to_stride),
            static_cast<cudaStream_t>(ends.by.stream), direction_of(ends));
#endif
    return starpu_interface_copy2d(ends.from, 0, ends.from_node, ends.to, 0, ends.to_node,
                                   static_cast<size_t>(bytes), static_cast<size_t>(rows),
                                   static_cast<size_t>(from_stride), static_cast<size_t>(to_stride),
                                   ends.by.async);
}

// Copies `bytes` contiguous bytes, piece by piece.
int copy_run(copy_ends ends, std::int64_t bytes) {
    int result = 0;
    while (bytes > 0) {
        const auto part = ends.pieces == nullptr
                              ? bytes
                              : static_cast<std::int64_t>(ends.pieces->uncut_bytes(
                                    ends.*ends.host, static_cast<std::size_t>(bytes)));
        if (copy_bytes(ends, part) != 0) result = -EAGAIN;
        ends.from += static_cast<std::uintptr_t>(part);
        ends.to += static_cast<std::uintptr_t>(part);
        bytes -= part;
    }
    return result;
}

bool is_uncut(const copy_ends& ends, std::int64_t run_bytes, const copy_axis& axis) {
    if (ends.pieces == nullptr) return true;
    const std::int64_t stride = ends.host == &copy_ends::from ? axis.from_stride : axis.to_stride;
    const auto bytes = static_cast<std::size_t>((axis.extent - 1) * stride + run_bytes);
    return ends.pieces->uncut_bytes(ends.*ends.host, bytes) == bytes;
}

// Copies runs of `run_bytes` over `count` axes, outermost first: by one copy for each index of the
// axes outside what a 2-D copy takes.
int copy_axes(const copy_ends& ends, std::int64_t run_bytes, const copy_axis* axes, int count) {
    if (count == 0) return copy_run(ends, run_bytes);
    const copy_axis& outer = axes[0];
    // A stride below the run is a broadcast axis (stride 0), which a 2-D copy cannot express, nor
    // can CUDA's one of 2 GiB and more.
    constexpr std::int64_t longest_stride = std::numeric_limits<std::int32_t>::max();
    const auto [shorter, longer] = std::minmax(outer.from_stride, outer.to_stride);
    if (count == 1 && shorter >= run_bytes && longer <= longest_stride &&
        is_uncut(ends, run_bytes, outer)) {
        return copy_rows(ends, run_bytes, outer.extent, outer.from_stride, outer.to_stride);
    }
    int result = 0;
    for (std::int64_t i = 0; i < outer.extent; ++i) {
        copy_ends slice = ends;
        slice.from += i * outer.from_stride;
        slice.to += i * outer.to_stride;
        if (copy_axes(slice, run_bytes, axes + 1, count - 1) != 0) result = -EAGAIN;
    }
    return result;
}

int copy_part(const block_part& from, unsigned from_node, const block_part& to, unsigned to_node,
              const std::uint8_t (&order)[3], const HostPieces* pieces, const channel& by) {
    copy_axis axes[4];
    int count = 0;
    for (const std::uint8_t axis : order) {
        if (from.extents[axis] == 1) continue;
        const copy_axis next{from.extents[axis], from.strides[axis], to.strides[axis]};
        const bool merges = count > 0 &&
                            axes[count - 1].from_stride == next.extent * next.from_stride &&
                            axes[count - 1].to_stride == next.extent * next.to_stride;
        if (merges) {
            axes[count - 1] = {axes[count - 1].extent * next.extent, next.from_stride,
                               next.to_stride};
        } else {
            axes[count++] = next;
        }
    }
    std::int64_t run_bytes = from.row_bytes;
    if (count > 0 && axes[count - 1].from_stride == run_bytes &&
        axes[count - 1].to_stride == run_bytes) {
        run_bytes *= axes[--count].extent;
    }
    const bool from_host = starpu_node_get_kind(from_node) == STARPU_CPU_RAM;
    const copy_ends ends{reinterpret_cast<std::uintptr_t>(from.data),
                         from_node,
                         reinterpret_cast<std::uintptr_t>(to.data),
                         to_node,
                         by,
                         pieces,
                         from_host ? &copy_ends::from : &copy_ends::to};
    return copy_axes(ends, run_bytes, axes, count);
}

// Whether the copy was left to `staged`.
bool stage([[maybe_unused]] const traffic& counters, [[maybe_unused]] const block_part& host,
           [[maybe_unused]] const std::uint8_t (&order)[3], [[maybe_unused]] void* device,
           [[maybe_unused]] bool to_device, [[maybe_unused]] const channel& by) {
#ifdef CQSA_WITH_CUDA
    if (counters.staged == nullptr || by.stream == nullptr) return false;
    host_array array{.data = static_cast<std::byte*>(host.data), .run_bytes = host.row_bytes};
    for (int level = 2, free = 2; level >= 0; --level) {
        const std::int64_t extent = host.extents[order[level]];
        const std::int64_t stride = host.strides[order[level]];
        if (free == 2 && stride == array.run_bytes)
            array.run_bytes *= extent;
        else if (extent > 1)
            array.axes[free--] = {extent, stride};
    }
    const auto address = reinterpret_cast<std::uintptr_t>(array.data);
    if (counters.pieces != nullptr && counters.pieces->piece_of(address) < counters.pieces->count())
        return false;
    if (StagedCopies::is_page_locked(array.data) && StagedCopies::is_page_locked(array.last_byte()))
        return false;
    return counters.staged->enqueue(to_device ? StagedCopies::direction::to_device
                                              : StagedCopies::direction::to_host,
                                    array, device, by.stream);
#else
    return false;
#endif
}

int copy_block(void* source, unsigned source_node, void* target, unsigned target_node,
               const channel& by) {
    const block_data& from = as_block(source);
    const block_data& to = as_block(target);
    const bool from_host = starpu_node_get_kind(source_node) == STARPU_CPU_RAM;
    const bool to_host = starpu_node_get_kind(target_node) == STARPU_CPU_RAM;
    // Copies in host memory and between devices are neither counted nor cut.
    traffic* counters = from_host != to_host ? from.counters : nullptr;
    const HostPieces* pieces = counters != nullptr ? counters->pieces : nullptr;
    int result = 0;
    for (int p = 0; p < from.parts; ++p) {
        const block_part& host = from_host ? from.part[p] : to.part[p];
        void* const device = from_host ? to.part[p].data : from.part[p].data;
        const bool staged =
            counters != nullptr && stage(*counters, host, from.order[p], device, from_host, by);
        if (staged || copy_part(from.part[p], source_node, to.part[p], target_node, from.order[p],
                                pieces, by) != 0)
            result = -EAGAIN;
        if (counters != nullptr)
            (from_host ? counters->h2d_bytes : counters->d2h_bytes) += from.part[p].bytes();
    }
    return result;
}

int copy_any(void* source, unsigned source_node, void* target, unsigned target_node, void* async) {
    return copy_block(source, source_node, target, target_node, {.async = async});
}

#ifdef CQSA_WITH_CUDA
int copy_on_stream(void* source, unsigned source_node, void* target, unsigned target_node,
                   cudaStream_t stream) {
    return copy_block(source, source_node, target, target_node, {.stream = stream});
}
#endif

starpu_data_copy_methods copy_methods() {
    starpu_data_copy_methods methods{};
    methods.any_to_any = copy_any;
#ifdef CQSA_WITH_CUDA
    methods.ram_to_cuda_async = copy_on_stream;
    methods.cuda_to_ram_async = copy_on_stream;
#endif
    return methods;
}

starpu_data_interface_ops make_ops(char* name) {
    static const starpu_data_copy_methods methods = copy_methods();
    starpu_data_interface_ops ops{};
    ops.register_data_handle = register_handle;
    ops.allocate_data_on_node = allocate;
    ops.free_data_on_node = release;
    ops.cache_data_on_node = put_in_cache;
    ops.reuse_data_on_node = take_from_cache;
    ops.copy_methods = &methods;
    ops.to_pointer = to_pointer;
    ops.get_size = data_bytes;
    ops.get_alloc_size = alloc_bytes;
    ops.footprint = footprint;
    ops.alloc_footprint = alloc_footprint;
    ops.compare = same_shape;
    ops.alloc_compare = same_allocation;
    ops.display = display;
    ops.describe = describe;
    ops.interfaceid = STARPU_UNKNOWN_INTERFACE_ID;
    ops.interface_size = sizeof(block_data);
    ops.name = name;
    return ops;
}

starpu_data_interface_ops* block_ops() {
    static char name[] = "CQSA_BLOCK_INTERFACE";
    static starpu_data_interface_ops ops = make_ops(name);
    return &ops;
}

// A handle that is refused its memory once, whereupon StarPU empties its cache, and then gets none.
constexpr std::uintptr_t no_memory = 1;

starpu_ssize_t refuse_once(void* interface, unsigned /*node*/) {
    block_data& block = as_block(interface);
    if (block.parts == 0) {
        block.parts = -1;
        return -ENOMEM;
    }
    block.buffer = no_memory;
    return block.alloc_bytes;
}

void release_nothing(void* /*interface*/, unsigned /*node*/) {}

starpu_data_interface_ops* drain_ops() {
    static char name[] = "CQSA_DRAIN_INTERFACE";
    static starpu_data_interface_ops ops = [] {
        starpu_data_interface_ops result = make_ops(name);
        result.allocate_data_on_node = refuse_once;
        result.free_data_on_node = release_nothing;
        result.dontcache = 1;
        return result;
    }();
    return &ops;
}

block_part one_row(std::int64_t bytes) {
    return {nullptr, bytes, {1, 1, 1}, {bytes, bytes, bytes}};
}

starpu_data_handle_t register_parts(int home, const block_part* parts, int count,
                                    std::int64_t alloc_bytes, traffic* counters,
                                    bool cleared = false) {
    block_data block{};
    block.cleared = cleared;
    block.alloc_bytes = alloc_bytes;
    block.parts = count;
    block.counters = counters;
    for (int p = 0; p < count; ++p) {
        block.part[p] = parts[p];
        for (std::uint8_t axis = 0; axis < 3; ++axis)
            block.order[p][axis] = axis;
        std::stable_sort(block.order[p], block.order[p] + 3, [&](std::uint8_t a, std::uint8_t b) {
            return parts[p].strides[a] > parts[p].strides[b];
        });
    }
    starpu_data_handle_t handle = nullptr;
    starpu_data_register(&handle, home, &block, block_ops());
    return handle;
}

} // namespace

memory_use peak_memory_use() {
    return {host_bytes_peak - host_bytes_before, device_bytes_peak};
}

void reset_peak_memory_use() {
    host_bytes_before = host_bytes_now.load();
    host_bytes_peak = host_bytes_now.load();
    device_bytes_peak = 0;
}

void count_device_memory(unsigned node) {
    raise(device_bytes_peak, static_cast<std::int64_t>(starpu_memory_get_used(node)));
}

void drain_allocation_cache(unsigned node, std::int64_t bytes) {
    block_data block{};
    // StarPU frees twice as much as it failed to allocate.
    block.alloc_bytes = (bytes + 1) / 2;
    starpu_data_handle_t handle = nullptr;
    starpu_data_register(&handle, -1, &block, drain_ops());
    if (starpu_data_acquire_on_node(handle, static_cast<int>(node), STARPU_W) == 0) {
        starpu_data_release_on_node(handle, static_cast<int>(node));
    }
    starpu_data_unregister_no_coherency(handle);
}

starpu_data_handle_t register_block(const block_part* parts, int count, std::int64_t alloc_bytes,
                                    traffic* counters) {
    return register_parts(STARPU_MAIN_RAM, parts, count, alloc_bytes, counters);
}

starpu_data_handle_t register_temporary(std::int64_t bytes, std::int64_t alloc_bytes,
                                        traffic* counters) {
    const block_part part = one_row(bytes);
    return register_parts(-1, &part, 1, alloc_bytes, counters);
}

starpu_data_handle_t register_workspace(std::int64_t bytes) {
    const block_part part = one_row(bytes);
    return register_parts(-1, &part, 1, bytes, nullptr, true);
}

tensor_view view_of(const block_data& block, int part, std::int64_t element_bytes) {
    const block_part& p = block.part[part];
    return {p.data, p.strides[0] / element_bytes, p.strides[1] / element_bytes,
            p.strides[2] / element_bytes};
}

mutable_tensor_view mutable_view_of(const block_data& block, int part, std::int64_t element_bytes) {
    const tensor_view view = view_of(block, part, element_bytes);
    return {block.part[part].data, view.batch_stride, view.head_stride, view.token_stride};
}

} // namespace cqsa
