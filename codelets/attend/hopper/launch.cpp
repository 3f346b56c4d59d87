// SPDX-License-Identifier: Apache-2.0
#include "codelets/attend/hopper/hopper.hpp"
#include "codelets/attend/hopper/parameters.hpp"
#include "codelets/attend/hopper/split.hpp"
#include "codelets/cuda/check.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

namespace cqsa::cuda::hopper {
namespace {

/// Keys and values of the heads worked at one time should stay in L2, whose halves (25 MB each on
/// an H100) hold copies of what the other half's multiprocessors read, too.
constexpr std::int64_t section_bytes = std::int64_t{12} << 20;

constexpr std::size_t align(std::size_t bytes) {
    return (bytes + 255) / 256 * 256;
}

/// A launch: some query blocks × some key blocks of the task.
struct part_of_task {
    std::int64_t first_query;
    std::int64_t queries;
    std::int64_t first_key;
    std::int64_t keys;
};

/// What the host decides about a launch.
struct layout {
    std::vector<std::int64_t> order; ///< query blocks, those with most keys first
    std::vector<std::uint32_t>
        kinds;                  ///< [order][keys]: pair kinds, causal only where the edge crosses
    std::int64_t row_tiles = 0; ///< for one head
    std::int64_t section_heads = 1;
    tile_split split;
    std::size_t bytes = 0; ///< of workspace
};

/// The workspace: counters of the launch, arrivals of the split tiles' warps, parts of the tiles.
/// Where each begins is the same for all launches, since the first two stay zero between them.
constexpr std::size_t arrivals_offset = 256;
constexpr std::size_t partials_offset(std::int64_t multiprocessors) {
    constexpr std::size_t most_warps = 12;
    return arrivals_offset +
           align(sizeof(std::uint32_t) * most_warps * most_split_tiles(multiprocessors));
}

/// The pair's kind, with causal narrowed to pairs that the mask's edge really crosses.
pair_kind narrowed(const attend_task& task, std::int64_t i, std::int64_t j) {
    const pair_kind kind = task.pairs[i * std::ssize(task.keys) + j];
    if (kind != pair_kind::causal) return kind;
    const query_block& q = task.queries[i];
    const key_block& k = task.keys[j];
    const std::int64_t edge = q.position + task.causal_offset - k.position;
    if (edge >= k.tokens - 1) return pair_kind::dense;
    if (edge + q.tokens <= 0) return pair_kind::none;
    return pair_kind::causal;
}

/// Key tiles that the row tile starting at `row` meets.
std::int64_t key_tiles(const attend_task& task, const kernel& k, const part_of_task& part,
                       std::span<const std::uint32_t> kinds, std::int64_t query, std::int64_t row) {
    std::int64_t tiles = 0;
    const query_block& q = task.queries[query];
    for (std::int64_t j = 0; j < part.keys; ++j) {
        const key_block& b = task.keys[part.first_key + j];
        std::int64_t keys = b.tokens;
        if (kinds[j] == 0) continue;
        if (kinds[j] == static_cast<std::uint32_t>(pair_kind::causal)) {
            const std::int64_t last = std::min<std::int64_t>(row + k.tile_rows, q.tokens) - 1;
            keys = std::clamp<std::int64_t>(last + q.position + task.causal_offset - b.position + 1,
                                            0, keys);
        }
        tiles += (keys + k.tile_keys - 1) / k.tile_keys;
    }
    return tiles;
}

std::size_t needed_bytes(const tile_split& split, const kernel& k, std::int64_t multiprocessors) {
    if (split.parts == 1) return arrivals_offset;
    return partials_offset(multiprocessors) +
           static_cast<std::size_t>(split.split_tiles * split.parts) * k.partial_bytes;
}

/// Cuts tiles into no more parts than `workspace_bytes` hold.
layout lay_out(const attend_task& task, const kernel& k, const part_of_task& part,
               std::int64_t multiprocessors, std::size_t workspace_bytes) {
    layout l;
    std::vector<std::uint32_t> kinds(part.queries * part.keys);
    std::vector<std::int64_t> most(part.queries); // key tiles of the block's last row tile
    std::vector<std::int64_t> least(part.queries);
    std::vector<std::int64_t> rows(part.queries);
    std::int64_t key_tokens = 0;
    for (std::int64_t j = 0; j < part.keys; ++j)
        key_tokens += task.keys[part.first_key + j].tokens;
    for (std::int64_t i = 0; i < part.queries; ++i) {
        for (std::int64_t j = 0; j < part.keys; ++j)
            kinds[i * part.keys + j] = static_cast<std::uint32_t>(
                narrowed(task, part.first_query + i, part.first_key + j));
        const std::span<const std::uint32_t> row(&kinds[i * part.keys], part.keys);
        rows[i] = (task.queries[part.first_query + i].tokens + k.tile_rows - 1) / k.tile_rows;
        const std::int64_t last = (rows[i] - 1) * k.tile_rows;
        most[i] = key_tiles(task, k, part, row, part.first_query + i, last);
        least[i] = key_tiles(task, k, part, row, part.first_query + i, 0);
        l.row_tiles += rows[i];
    }
    l.order.resize(part.queries);
    std::iota(l.order.begin(), l.order.end(), std::int64_t{0});
    std::ranges::stable_sort(l.order, [&](auto a, auto b) { return most[a] > most[b]; });
    for (const std::int64_t i : l.order)
        l.kinds.insert(l.kinds.end(), &kinds[i * part.keys], &kinds[i * part.keys] + part.keys);

    const std::int64_t group = task.heads / task.kv_heads;
    const std::int64_t head_bytes = std::max<std::int64_t>(1, 4 * key_tokens * task.head_dim);
    l.section_heads =
        std::clamp<std::int64_t>(section_bytes / head_bytes, 1, task.batch * task.kv_heads) * group;

    const bool followed = task.followed && k.overlaps;
    const std::int64_t tiles = l.row_tiles * task.batch * task.heads;
    const std::int64_t longest = *std::ranges::max_element(most);
    const std::int64_t shortest = *std::ranges::min_element(least);
    if (longest == shortest) {
        l.split = split_uniform(tiles, longest, multiprocessors, followed);
    } else {
        double sum = 0; // of all tiles' key tiles; a block's tiles differ linearly
        for (std::int64_t i = 0; i < part.queries; ++i)
            sum += static_cast<double>(rows[i] * (most[i] + least[i])) / 2;
        const double share = sum * static_cast<double>(task.batch * task.heads) /
                             static_cast<double>(multiprocessors);
        if (static_cast<double>(longest) > (followed ? 1.4 : 0.7) * share) {
            const auto parts = static_cast<std::int64_t>(
                std::ceil(static_cast<double>(longest) / std::max(2.0, 0.35 * share)));
            const std::int64_t of_each =
                std::max<std::int64_t>(1, most_parts(multiprocessors) / tiles);
            l.split = {tiles,
                       std::clamp<std::int64_t>(parts, 1, std::min<std::int64_t>(of_each, 32))};
            if (l.split.parts == 1) l.split = {};
        }
    }
    while (needed_bytes(l.split, k, multiprocessors) > workspace_bytes && l.split.parts > 1)
        if (--l.split.parts == 1) l.split = {};
    l.bytes = needed_bytes(l.split, k, multiprocessors);
    return l;
}

/// Calls `use` for each launch: lists longer than a launch holds are cut, queries outside.
template<class Use>
void for_each_launch(const attend_task& task, const Use& use) {
    const std::int64_t queries = std::ssize(task.queries);
    const std::int64_t keys = std::ssize(task.keys);
    for (std::int64_t q = 0; q < queries; q += max_query_blocks)
        for (std::int64_t k = 0; k == 0 || k < keys; k += max_key_blocks)
            use(part_of_task{q, std::min<std::int64_t>(max_query_blocks, queries - q), k,
                             std::min<std::int64_t>(max_key_blocks, keys - k)});
}

CUtensorMap tensor_map(const attend_task& task, const tensor_view& view, std::int64_t tokens,
                       std::int64_t heads, int box_tokens) {
    using encode_function =
        CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*,
                     const cuuint64_t*, const cuuint32_t*, const cuuint32_t*, CUtensorMapInterleave,
                     CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);
    static const auto encode = [] {
        void* function = nullptr;
        cudaDriverEntryPointQueryResult found{};
        check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000,
                                               cudaEnableDefault, &found),
              "looking up cuTensorMapEncodeTiled");
        return reinterpret_cast<encode_function>(function);
    }();
    // A dimension of extent 1 is never stepped over; its stride only has to be a legal one.
    const auto stride = [](std::int64_t extent, std::int64_t elements) {
        return static_cast<cuuint64_t>(extent == 1 ? 16 : 2 * elements);
    };
    CUtensorMap map;
    const cuuint64_t extents[] = {static_cast<cuuint64_t>(task.head_dim),
                                  static_cast<cuuint64_t>(tokens), static_cast<cuuint64_t>(heads),
                                  static_cast<cuuint64_t>(task.batch)};
    const cuuint64_t strides[] = {stride(tokens, view.token_stride),
                                  stride(heads, view.head_stride),
                                  stride(task.batch, view.batch_stride)};
    const cuuint32_t box[] = {64, static_cast<cuuint32_t>(box_tokens), 1, 1};
    const cuuint32_t steps[] = {1, 1, 1, 1};
    const CUresult status =
        encode(&map,
               task.type == data_type::f16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16
                                           : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
               4, const_cast<void*>(view.data), extents, strides, box, steps,
               CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
               CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    if (status != CUDA_SUCCESS)
        throw Error(error_code::device, "The tensor map of a block of " + std::to_string(tokens) +
                                            " tokens was refused by the driver with code " +
                                            std::to_string(status) + ".");
    return map;
}

void launch(const attend_task& task, const kernel& k, const part_of_task& part,
            std::int64_t multiprocessors, std::span<std::byte> workspace, cudaStream_t stream) {
    const layout l = lay_out(task, k, part, multiprocessors, workspace.size());
    if (workspace.size() < l.bytes)
        throw Error(error_code::usage, "The workspace of attend must hold " +
                                           std::to_string(l.bytes) + " bytes and holds " +
                                           std::to_string(workspace.size()) + ".");
    launch_parameters p;
    std::int32_t row_tiles = 0;
    for (std::int64_t i = 0; i < part.queries; ++i) {
        const query_block& q = task.queries[part.first_query + l.order[i]];
        p.query_maps[i] = tensor_map(task, q.q, q.tokens, task.heads, 64); // of a warpgroup
        p.queries[i] = {.acc = static_cast<float*>(q.state.acc),
                        .m = static_cast<float*>(q.state.m),
                        .l = static_cast<float*>(q.state.l),
                        .tokens = static_cast<std::int32_t>(q.tokens),
                        .first_tile = row_tiles,
                        .fresh = q.fresh && part.first_key == 0,
                        .reserved = 0};
        p.query_position[i] = static_cast<std::uint32_t>(q.position + task.causal_offset);
        row_tiles += static_cast<std::int32_t>((q.tokens + k.tile_rows - 1) / k.tile_rows);
        std::ranges::fill(p.pairs[i], 0U);
        for (std::int64_t j = 0; j < part.keys; ++j)
            p.pairs[i][j / 16] |= l.kinds[i * part.keys + j] << (j % 16 * 2);
    }
    for (std::int64_t j = 0; j < part.keys; ++j) {
        const key_block& b = task.keys[part.first_key + j];
        p.key_maps[j] = tensor_map(task, b.k, b.tokens, task.kv_heads, k.tile_keys);
        p.value_maps[j] = tensor_map(task, b.v, b.tokens, task.kv_heads, k.tile_keys);
        p.key_tokens[j] = static_cast<std::int32_t>(b.tokens);
        p.key_position[j] = static_cast<std::uint32_t>(b.position);
    }
    const std::int64_t tiles = l.row_tiles * task.batch * task.heads;
    p.query_blocks = static_cast<std::int32_t>(part.queries);
    p.key_blocks = static_cast<std::int32_t>(part.keys);
    p.batch = static_cast<std::int32_t>(task.batch);
    p.heads = static_cast<std::int32_t>(task.heads);
    p.heads_per_kv_head = static_cast<std::int32_t>(task.heads / task.kv_heads);
    p.head_dim = static_cast<std::int32_t>(task.head_dim);
    p.scale = static_cast<float>(task.scale);
    p.scale_log2 = static_cast<float>(task.scale * 1.4426950408889634);
    p.row_tiles = row_tiles;
    p.section_heads = static_cast<std::int32_t>(l.section_heads);
    p.whole_tiles = static_cast<std::int32_t>(tiles - l.split.split_tiles);
    p.parts = static_cast<std::int32_t>(l.split.parts);
    p.items = static_cast<std::int32_t>(p.whole_tiles + l.split.split_tiles * l.split.parts);
    p.next_item = reinterpret_cast<std::uint32_t*>(workspace.data());
    p.finished = p.next_item + 1;
    p.arrivals = reinterpret_cast<std::uint32_t*>(workspace.data() + arrivals_offset);
    p.partials = reinterpret_cast<float4*>(workspace.data() + partials_offset(multiprocessors));

    const void* function = task.type == data_type::f16 ? k.f16 : k.bf16;
    check(
        cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, k.shared_bytes),
        "reserving shared memory for attend");
    cudaLaunchAttribute overlap{};
    overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    overlap.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = static_cast<unsigned>(std::min<std::int64_t>(multiprocessors, p.items));
    config.blockDim = static_cast<unsigned>(k.threads);
    config.dynamicSmemBytes = static_cast<std::size_t>(k.shared_bytes);
    config.stream = stream;
    config.attrs = &overlap;
    config.numAttrs = 1;
    void* arguments[] = {&p};
    check(cudaLaunchKernelExC(&config, function, arguments), "launching attend");
}

} // namespace

const kernel& kernel_d32();
const kernel& kernel_d64();
const kernel& kernel_d96();
const kernel& kernel_d128();
const kernel& kernel_d192();
const kernel& kernel_d256();

const kernel* kernel_for(std::int64_t head_dim) {
    if (head_dim < 1 || head_dim % 8 != 0) return nullptr;
    for (const auto kernel :
         {kernel_d32, kernel_d64, kernel_d96, kernel_d128, kernel_d192, kernel_d256})
        if (head_dim <= kernel().head_dim) return &kernel();
    return nullptr;
}

std::size_t workspace_limit(const kernel& k, int multiprocessors) {
    return needed_bytes({most_split_tiles(multiprocessors), 2}, k, multiprocessors);
}

std::size_t workspace_bytes(const attend_task& task, const kernel& k, int multiprocessors) {
    std::size_t bytes = 0;
    for_each_launch(task, [&](const part_of_task& part) {
        const layout l = lay_out(task, k, part, multiprocessors, SIZE_MAX);
        bytes = std::max(bytes, l.bytes);
    });
    return bytes;
}

void attend(const attend_task& task, const kernel& k, int multiprocessors,
            std::span<std::byte> workspace, cudaStream_t stream) {
    for_each_launch(task, [&](const part_of_task& part) {
        launch(task, k, part, multiprocessors, workspace, stream);
    });
}

} // namespace cqsa::cuda::hopper
