// SPDX-License-Identifier: Apache-2.0
#include "codelets/attend/hopper/hopper.hpp"
#include "codelets/attend/hopper/parameters.hpp"
#include "codelets/attend/hopper/split.hpp"
#include "codelets/cuda/check.hpp"

#include <algorithm>
#include <array>
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
        kinds;                ///< [order][keys]: pair kinds, causal only where the edge crosses
    std::int64_t cluster = 1; ///< CTAs that share keys, and row tiles of a unit
    std::int64_t section_heads = 1;
    unit_split split;
    std::size_t bytes = 0; ///< of workspace
};

/// The units of a part's query blocks, for one head, and the key tiles that they meet.
struct unit_lengths {
    std::vector<std::int64_t> units; ///< of each block
    std::vector<std::int64_t> most;  ///< key tiles of the block's last unit
    std::vector<std::int64_t> least; ///< and of its first
    std::int64_t all_units = 0;
    double all_key_tiles = 0; ///< a block's units differ linearly
};

/// The workspace: counters of the launch, arrivals of the split tiles' warps, parts of the tiles.
/// Where each begins is the same for all launches, since the first two stay zero between them.
constexpr std::size_t arrivals_offset = 256;
constexpr std::size_t partials_offset(std::int64_t multiprocessors) {
    constexpr std::size_t most_warps = 12;
    return arrivals_offset +
           align(sizeof(std::uint32_t) * most_warps * most_split_units(multiprocessors));
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

/// Key tiles that rows up to `last_row` of a block meet.
std::int64_t key_tiles(const attend_task& task, const kernel& k, const part_of_task& part,
                       std::span<const std::uint32_t> kinds, std::int64_t query,
                       std::int64_t last_row) {
    std::int64_t tiles = 0;
    const query_block& q = task.queries[query];
    for (std::int64_t j = 0; j < part.keys; ++j) {
        const key_block& b = task.keys[part.first_key + j];
        std::int64_t keys = b.tokens;
        if (kinds[j] == 0) continue;
        if (kinds[j] == static_cast<std::uint32_t>(pair_kind::causal)) {
            keys = std::clamp<std::int64_t>(
                last_row + q.position + task.causal_offset - b.position + 1, 0, keys);
        }
        tiles += (keys + k.tile_keys - 1) / k.tile_keys;
    }
    return tiles;
}

/// `kinds`: of all pairs of the part.
unit_lengths lengths_of(const attend_task& task, const kernel& k, const part_of_task& part,
                        std::span<const std::uint32_t> kinds, std::int64_t cluster) {
    unit_lengths l;
    const std::int64_t unit_rows = cluster * k.tile_rows;
    for (std::int64_t i = 0; i < part.queries; ++i) {
        const std::int64_t query = part.first_query + i;
        const std::int64_t tokens = task.queries[query].tokens;
        const auto of_pairs = kinds.subspan(i * part.keys, part.keys);
        const auto key_tiles_to = [&](std::int64_t row) {
            return key_tiles(task, k, part, of_pairs, query, std::min(row, tokens) - 1);
        };
        l.units.push_back((tokens + unit_rows - 1) / unit_rows);
        l.most.push_back(key_tiles_to(tokens));
        l.least.push_back(key_tiles_to(unit_rows));
        l.all_units += l.units[i];
        l.all_key_tiles += static_cast<double>(l.units[i] * (l.most[i] + l.least[i])) / 2;
    }
    return l;
}

/// How the units of all heads are shared out over so many clusters.
unit_split split_of(const unit_lengths& l, std::int64_t heads, std::int64_t clusters,
                    bool followed) {
    const std::int64_t units = l.all_units * heads;
    const std::int64_t longest = *std::ranges::max_element(l.most);
    const std::int64_t shortest = *std::ranges::min_element(l.least);
    if (longest == shortest) return split_uniform(units, longest, clusters, followed);
    const double share =
        l.all_key_tiles * static_cast<double>(heads) / static_cast<double>(clusters);
    if (static_cast<double>(longest) <= (followed ? 1.4 : 0.7) * share) return {};
    const auto parts = static_cast<std::int64_t>(
        std::ceil(static_cast<double>(longest) / std::max(2.0, 0.35 * share)));
    const std::int64_t of_each = std::max<std::int64_t>(1, most_parts(clusters) / units);
    const std::int64_t taken =
        std::clamp<std::int64_t>(parts, 1, std::min<std::int64_t>(of_each, 32));
    return taken == 1 ? unit_split{} : unit_split{units, taken};
}

std::size_t needed_bytes(const unit_split& split, std::int64_t cluster, const kernel& k,
                         std::int64_t multiprocessors) {
    if (split.parts == 1) return arrivals_offset;
    return partials_offset(multiprocessors) +
           static_cast<std::size_t>(cluster * split.split_units * split.parts) * k.partial_bytes;
}

/// Cuts units into no more parts than `workspace_bytes` hold.
layout lay_out(const attend_task& task, const kernel& k, const part_of_task& part,
               std::int64_t multiprocessors, std::size_t workspace_bytes) {
    std::vector<std::uint32_t> kinds(part.queries * part.keys);
    for (std::int64_t i = 0; i < part.queries; ++i)
        for (std::int64_t j = 0; j < part.keys; ++j)
            kinds[i * part.keys + j] = static_cast<std::uint32_t>(
                narrowed(task, part.first_query + i, part.first_key + j));

    layout l;
    unit_lengths lengths = lengths_of(task, k, part, kinds, 1);
    if (k.most_cluster == 2 && multiprocessors % 2 == 0) {
        // Rows that a unit has too many, and keys that only its other tile sees, cost time.
        constexpr double most_waste = 1.015;
        unit_lengths paired = lengths_of(task, k, part, kinds, 2);
        if (2 * paired.all_key_tiles <= most_waste * lengths.all_key_tiles) {
            l.cluster = 2;
            lengths = std::move(paired);
        }
    }
    l.order.resize(part.queries);
    std::iota(l.order.begin(), l.order.end(), std::int64_t{0});
    std::ranges::stable_sort(l.order,
                             [&](auto a, auto b) { return lengths.most[a] > lengths.most[b]; });
    for (const std::int64_t i : l.order)
        l.kinds.insert(l.kinds.end(), &kinds[i * part.keys], &kinds[i * part.keys] + part.keys);

    std::int64_t key_tokens = 0;
    for (std::int64_t j = 0; j < part.keys; ++j)
        key_tokens += task.keys[part.first_key + j].tokens;
    const std::int64_t group = task.heads / task.kv_heads;
    const std::int64_t head_bytes = std::max<std::int64_t>(1, 4 * key_tokens * task.head_dim);
    l.section_heads =
        std::clamp<std::int64_t>(section_bytes / head_bytes, 1, task.batch * task.kv_heads) * group;

    l.split = split_of(lengths, task.batch * task.heads, multiprocessors / l.cluster,
                       task.followed && k.overlaps);
    while (needed_bytes(l.split, l.cluster, k, multiprocessors) > workspace_bytes &&
           l.split.parts > 1)
        if (--l.split.parts == 1) l.split = {};
    l.bytes = needed_bytes(l.split, l.cluster, k, multiprocessors);
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
    const std::int64_t unit_rows = l.cluster * k.tile_rows;
    std::int64_t units = 0;
    for (std::int64_t i = 0; i < part.queries; ++i) {
        const query_block& q = task.queries[part.first_query + l.order[i]];
        p.query_maps[i] = tensor_map(task, q.q, q.tokens, task.heads, 64); // of a warpgroup
        p.queries[i] = {.acc = static_cast<float*>(q.state.acc),
                        .m = static_cast<float*>(q.state.m),
                        .l = static_cast<float*>(q.state.l),
                        .tokens = static_cast<std::int32_t>(q.tokens),
                        .first_unit = static_cast<std::int32_t>(units),
                        .fresh = q.fresh && part.first_key == 0,
                        .row_keys = static_cast<std::int32_t>(std::min<std::int64_t>(
                            q.row_keys, std::numeric_limits<std::int32_t>::max()))};
        p.query_position[i] = static_cast<std::uint32_t>(q.position + task.causal_offset);
        units += (q.tokens + unit_rows - 1) / unit_rows;
        std::ranges::fill(p.pairs[i], 0U);
        for (std::int64_t j = 0; j < part.keys; ++j)
            p.pairs[i][j / 16] |= l.kinds[i * part.keys + j] << (j % 16 * 2);
    }
    for (std::int64_t j = 0; j < part.keys; ++j) {
        const key_block& b = task.keys[part.first_key + j];
        const auto box = static_cast<int>(k.tile_keys / l.cluster);
        p.key_maps[j] = tensor_map(task, b.k, b.tokens, task.kv_heads, box);
        p.value_maps[j] = tensor_map(task, b.v, b.tokens, task.kv_heads, box);
        p.key_tokens[j] = static_cast<std::int32_t>(b.tokens);
        p.key_position[j] = static_cast<std::uint32_t>(b.position);
    }
    p.query_blocks = static_cast<std::int32_t>(part.queries);
    p.key_blocks = static_cast<std::int32_t>(part.keys);
    p.batch = static_cast<std::int32_t>(task.batch);
    p.heads = static_cast<std::int32_t>(task.heads);
    p.heads_per_kv_head = static_cast<std::int32_t>(task.heads / task.kv_heads);
    p.head_dim = static_cast<std::int32_t>(task.head_dim);
    p.scale = static_cast<float>(task.scale);
    p.scale_log2 = static_cast<float>(task.scale * 1.4426950408889634);
    p.cluster = static_cast<std::int32_t>(l.cluster);
    p.row_units = static_cast<std::int32_t>(units);
    p.section_heads = static_cast<std::int32_t>(l.section_heads);
    p.whole_units =
        static_cast<std::int32_t>(units * task.batch * task.heads - l.split.split_units);
    p.parts = static_cast<std::int32_t>(l.split.parts);
    p.items = static_cast<std::int32_t>(p.whole_units + l.split.split_units * l.split.parts);
    p.next_item = reinterpret_cast<std::uint32_t*>(workspace.data());
    p.finished = p.next_item + 1;
    p.arrivals = reinterpret_cast<std::uint32_t*>(workspace.data() + arrivals_offset);
    p.partials = reinterpret_cast<float4*>(workspace.data() + partials_offset(multiprocessors));

    const void* function = task.type == data_type::f16 ? k.f16 : k.bf16;
    check(
        cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, k.shared_bytes),
        "reserving shared memory for attend");
    std::array<cudaLaunchAttribute, 2> attributes{};
    attributes[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[0].val.programmaticStreamSerializationAllowed = 1;
    attributes[1].id = cudaLaunchAttributeClusterDimension;
    attributes[1].val.clusterDim = {static_cast<unsigned>(l.cluster), 1, 1};
    cudaLaunchConfig_t config{};
    config.gridDim = static_cast<unsigned>(
        std::min<std::int64_t>(multiprocessors, l.cluster * std::int64_t{p.items}));
    config.blockDim = static_cast<unsigned>(k.threads);
    config.dynamicSmemBytes = static_cast<std::size_t>(k.shared_bytes);
    config.stream = stream;
    config.attrs = attributes.data();
    config.numAttrs = attributes.size();
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
    return needed_bytes({most_split_units(multiprocessors), 2}, 1, k, multiprocessors);
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
