// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/attend/fragment_state.cuh"
#include "codelets/attend/hopper/parameters.hpp"
#include "codelets/attend/hopper/schedule.cuh"
#include "codelets/cuda/wgmma.cuh"

/// attend on Hopper, after FlashAttention-3 (Shah et al., arXiv 2407.08608).
///
/// One persistent CTA per multiprocessor: a producer warpgroup of which three threads work, and
/// `groups` consumer warpgroups of 64 query rows each.
///  - One producer thread takes row tiles from a counter, walks the key blocks that meet the tile
///    and copies the K tiles into a ring of `stages` slots (TMA; full and empty barriers); it tells
///    how many key tiles come and, with each, what of it is visible. The others follow with the V
///    tiles and with Q, whose rows are fetched for each warpgroup as soon as it is done with the
///    last.
///  - A consumer keeps S (64 × key_tile), P (the same, 16 bit) and O (64 × head_dim) in registers.
///    Step j issues S = Q·K(j)ᵀ and O += P·V(j−1), then turns S into weights while the tensor cores
///    finish P·V (overlap inside the warpgroup).
///  - Ping-pong: the warpgroups issue their products in turn, so that one's softmax runs under the
///    others' products.
///  - O, max and sum stay in registers over the whole list of key blocks; after the last, the fp32
///    state (by then in L2) is added and written. Where the rings are long enough the warpgroups
///    work one step apart, so that one's end of a tile falls under the others' products.
///  - The two CTAs of a cluster work neighbouring row tiles over the same keys: each copies half of
///    every K and V tile to both, and a slot is free when the consumers of both are done with it.
///  - When the tiles do not fill the last wave, its tiles are worked in parts over the keys; the
///    warp that finishes a tile's last part adds the parts up, always in the same order.
///  - The stream's next launch begins on the multiprocessors that this one leaves (programmatic
///    dependent launch): before the ends of its tiles it touches nothing that this one writes.
namespace cqsa::cuda::hopper {

/// `Groups` consumer warpgroups, `KeyTile` keys a step, rings of `Stages` slots.
template<int HeadDim, int Groups, int KeyTile, int Stages>
struct tile_shape {
    static constexpr int head_dim = HeadDim;
    static constexpr int groups = Groups;
    static constexpr int rows = 64 * Groups;
    static constexpr int key_tile = KeyTile;
    static constexpr int stages = Stages;

    static constexpr int threads = 128 * (Groups + 1);
    static constexpr int panels = (HeadDim + 63) / 64; ///< of 64 columns, 128 bytes a row
    static constexpr int query_panel_bytes = rows * 128;
    static constexpr int key_panel_bytes = KeyTile * 128;
    static_assert(KeyTile % 16 == 0, "the halves of a panel begin where the swizzle does");
    static constexpr int query_bytes = panels * query_panel_bytes;
    static constexpr int key_bytes = panels * key_panel_bytes;
    /// Where O is long, looking first whether any row must be rescaled pays, and so does making
    /// that rare, unless O leaves no registers for it.
    static constexpr bool rescale_when_needed = HeadDim > 32;
    static constexpr bool lazy = rescale_when_needed && HeadDim <= 192;

    /// Where O fills most registers, the state is read before the first key tile (and the launch
    /// before must have ended by then).
    static constexpr bool state_first = HeadDim > 192;

    /// CTAs that share the keys where the launch allows it: pays where K and V are wide.
    static constexpr int most_cluster = HeadDim > 96 ? 2 : 1;

    /// The warpgroups work one step apart; the first is then Groups − 1 ring slots ahead.
    static constexpr bool staggered = Stages > Groups;
    static_assert(!staggered || Groups <= 3, "a tile takes two turns, see skip_turn");

    /// Registers a thread, shared out by role from what the launch gives all warps alike.
    static constexpr int producer_registers = Groups == 3 ? 32 : 40;
    static constexpr int consumer_registers = Groups == 3 ? 160 : 232;

    static constexpr int partial_quads = HeadDim / 8 + 1; ///< float4 a thread: O, max and sum
};

template<class Shape>
struct alignas(1024) shared_memory {
    std::byte query[Shape::query_bytes];
    std::byte keys[Shape::stages][Shape::key_bytes];
    std::byte values[Shape::stages][Shape::key_bytes];
    key_tile_mask masks[Shape::stages];
    row_tile tiles[2];
    std::uint64_t query_full[Shape::groups], query_empty[Shape::groups];
    std::uint64_t keys_full[Shape::stages], keys_empty[Shape::stages];
    std::uint64_t values_full[Shape::stages], values_empty[Shape::stages];
    std::uint64_t tile_full[2], tile_empty[2];
    std::uint64_t item_full, item_empty;
    int item; ///< what the cluster's first CTA took from the counter
};

/// Position in a ring of slots: the slot, and the parity of the round.
template<int Slots>
struct ring_position {
    static_assert((Slots & (Slots - 1)) == 0, "a power of two");
    std::uint32_t step = 0;
    [[nodiscard]] __device__ std::uint32_t slot() const { return step % Slots; }
    [[nodiscard]] __device__ std::uint32_t parity() const { return step / Slots % 2; }
    [[nodiscard]] __device__ ring_position before() const { return {step - 1}; }
    __device__ void advance() { ++step; }
};

/// CTAs of a cluster, and this one's place; known when compiling where there is never but one.
template<class Shape>
__device__ inline int cluster_of(const launch_parameters& p) {
    return Shape::most_cluster == 1 ? 1 : p.cluster;
}
template<class Shape>
__device__ inline int rank_in_cluster() {
    return Shape::most_cluster == 1 ? 0 : ptx::cluster_rank();
}

// ---------------------------------------------------------------- producer

/// Copies the panels of one key or value tile into a slot of a ring; in a cluster each CTA copies
/// its half of the tokens to both.
template<class Shape>
__device__ inline void copy_tile(const launch_parameters& p, int rank, std::byte* slot,
                                 std::uint64_t* full, const CUtensorMap* map, int token,
                                 int kv_head, int batch) {
    ptx::barrier_arrive_expect(full, Shape::key_bytes);
    constexpr int half = Shape::key_tile / 2;
#pragma unroll
    for (int panel = 0; panel < Shape::panels; ++panel) {
        std::byte* const to = slot + panel * Shape::key_panel_bytes;
        if (cluster_of<Shape>(p) == 1) {
            ptx::copy_box(to, map, full, panel * 64, token, kv_head, batch, ptx::evict_last);
        } else {
            ptx::copy_box_to(0b11, to + rank * half * 128, map, full, panel * 64,
                             token + rank * half, kv_head, batch, ptx::evict_last);
        }
    }
}

/// The next item of the cluster's first CTA, told to the second; `told` counts them.
template<class Shape>
__device__ inline int shared_item(shared_memory<Shape>& shared, int rank, int item, int told) {
    if (rank == 0) {
        ptx::barrier_wait(&shared.item_empty, told % 2 ^ 1);
        ptx::store_at(1, &shared.item, item, &shared.item_full);
        return item;
    }
    ptx::barrier_arrive_expect(&shared.item_full, sizeof(int));
    ptx::barrier_wait(&shared.item_full, told % 2);
    item = shared.item;
    ptx::barrier_arrive_at(0, &shared.item_empty);
    return item;
}

/// Takes items from the counter, announces their tiles, and copies the keys.
template<class Shape>
__device__ inline void produce_keys(const launch_parameters& p, shared_memory<Shape>& shared) {
    ring_position<Shape::stages> key;
    ring_position<2> tile_slot;
    const int rank = rank_in_cluster<Shape>();
    const int clusters = static_cast<int>(gridDim.x) / cluster_of<Shape>(p);

    int item = static_cast<int>(blockIdx.x) / cluster_of<Shape>(p);
    int told = 0;
    while (true) {
        row_tile& tile = shared.tiles[tile_slot.slot()];
        ptx::barrier_wait(&shared.tile_empty[tile_slot.slot()], tile_slot.parity() ^ 1);
        decode_item<Shape::rows>(p, item, rank, tile);
        KeyWalk<Shape::key_tile> walk(p, tile);
        int left = 0;
        if (tile.query_block >= 0) {
            left = walk.count();
            tile.first = left * tile.part / tile.parts;
            left = left * (tile.part + 1) / tile.parts - tile.first;
            tile.key_tiles = left;
        }
        ptx::barrier_arrive(&shared.tile_full[tile_slot.slot()]);
        tile_slot.advance();
        if (tile.query_block < 0) break;

        if (left > 0) {
            const int batch = tile.head / p.heads;
            const int kv_head = tile.head % p.heads / p.heads_per_kv_head;
            walk.start(tile.first);
            while (true) {
                ptx::barrier_wait(&shared.keys_empty[key.slot()], key.parity() ^ 1);
                shared.masks[key.slot()] = walk.mask();
                copy_tile<Shape>(p, rank, shared.keys[key.slot()], &shared.keys_full[key.slot()],
                                 &p.key_maps[walk.block()], walk.token(), kv_head, batch);
                key.advance();
                if (--left == 0) break;
                walk.next();
            }
        }
        ptx::wait_for_launches_before(); // the counter is theirs
        if (rank == 0) item = clusters + static_cast<int>(atomicAdd(p.next_item, 1U));
        if (cluster_of<Shape>(p) > 1) item = shared_item(shared, rank, item, told++);
    }
    if (rank == 0 && static_cast<int>(atomicAdd(p.finished, 1U)) + 1 == clusters) {
        *p.next_item = 0;
        *p.finished = 0;
    }
}

/// Copies the queries of the announced tiles, warpgroup by warpgroup.
template<class Shape>
__device__ inline void produce_queries(const launch_parameters& p, shared_memory<Shape>& shared) {
    constexpr int group_bytes = Shape::query_bytes / Shape::groups;
    ring_position<2> tile_slot;
    while (true) {
        ptx::barrier_wait(&shared.tile_full[tile_slot.slot()], tile_slot.parity());
        const row_tile& tile = shared.tiles[tile_slot.slot()];
        if (tile.query_block < 0) break;
        const std::uint32_t parity = tile_slot.step % 2;
#pragma unroll
        for (int group = 0; group < Shape::groups; ++group) {
            ptx::barrier_wait(&shared.query_empty[group], parity ^ 1);
            if (tile.key_tiles == 0) {
                ptx::barrier_arrive(&shared.query_full[group]);
                continue;
            }
            ptx::barrier_arrive_expect(&shared.query_full[group], group_bytes);
#pragma unroll
            for (int panel = 0; panel < Shape::panels; ++panel)
                ptx::copy_box(shared.query + panel * Shape::query_panel_bytes + group * 64 * 128,
                              &p.query_maps[tile.query_block], &shared.query_full[group],
                              panel * 64, tile.row + group * 64, tile.head % p.heads,
                              tile.head / p.heads, ptx::evict_first);
        }
        ptx::barrier_arrive(&shared.tile_empty[tile_slot.slot()]);
        tile_slot.advance();
    }
}

/// Brings the state that will be read to L2.
template<class Shape>
__device__ inline void prefetch_state(const launch_parameters& p, const row_tile& tile) {
    const query_entry& block = p.queries[tile.query_block];
    if (block.fresh || tile.part > 0) return;
    const std::int64_t first = static_cast<std::int64_t>(tile.head) * block.tokens + tile.row;
    const int rows = min(Shape::rows, block.tokens - tile.row);
    if (rows <= 0) return;
    ptx::prefetch_to_l2(block.acc + first * p.head_dim, rows * p.head_dim * 4);
    ptx::prefetch_to_l2(block.m + first, rows * 4);
    ptx::prefetch_to_l2(block.l + first, rows * 4);
}

/// Copies the values of the announced tiles.
template<class Shape>
__device__ inline void produce_values(const launch_parameters& p, shared_memory<Shape>& shared) {
    ring_position<Shape::stages> value;
    ring_position<2> tile_slot;
    const int rank = rank_in_cluster<Shape>();
    while (true) {
        ptx::barrier_wait(&shared.tile_full[tile_slot.slot()], tile_slot.parity());
        const row_tile& tile = shared.tiles[tile_slot.slot()];
        if (tile.query_block < 0) break;
        if constexpr (Shape::state_first) prefetch_state<Shape>(p, tile);
        int left = tile.key_tiles;
        if (left > 0) {
            KeyWalk<Shape::key_tile> walk(p, tile);
            walk.start(tile.first);
            const int batch = tile.head / p.heads;
            const int kv_head = tile.head % p.heads / p.heads_per_kv_head;
            while (true) {
                ptx::barrier_wait(&shared.values_empty[value.slot()], value.parity() ^ 1);
                copy_tile<Shape>(p, rank, shared.values[value.slot()],
                                 &shared.values_full[value.slot()], &p.value_maps[walk.block()],
                                 walk.token(), kv_head, batch);
                value.advance();
                if (--left == 0) break;
                walk.next();
            }
            if constexpr (!Shape::state_first) prefetch_state<Shape>(p, tile);
        }
        ptx::barrier_arrive(&shared.tile_empty[tile_slot.slot()]);
        tile_slot.advance();
    }
}

// ---------------------------------------------------------------- consumer: products

/// S = Q·Kᵀ
template<class Shape, class Element>
__device__ inline void issue_scores(float (&s)[Shape::key_tile / 2], std::uint64_t q,
                                    std::uint64_t k) {
#pragma unroll
    for (int i = 0; i < Shape::head_dim / 16; ++i) {
        const int panel = i / 4;
        const int inside = i % 4 * (32 >> 4);
        ptx::product_shared<Element, Shape::key_tile>(
            s, q + (panel * (Shape::query_panel_bytes >> 4) + inside),
            k + (panel * (Shape::key_panel_bytes >> 4) + inside), i > 0);
    }
}

/// O += P·V
template<class Shape, class Element>
__device__ inline void issue_values(float (&o)[Shape::head_dim / 2],
                                    const std::uint32_t (&weights)[Shape::key_tile / 4],
                                    std::uint64_t v) {
    constexpr int d = Shape::head_dim;
#pragma unroll
    for (int i = 0; i < Shape::key_tile / 16; ++i) {
        const std::uint64_t rows = v + i * (16 * 128 >> 4);
        if constexpr (d <= 128) {
            ptx::product_registers<Element, d>(o, weights + 4 * i, rows);
        } else {
            ptx::product_registers<Element, 128>(o, weights + 4 * i, rows);
            ptx::product_registers<Element, d - 128>(o + 64, weights + 4 * i,
                                                     rows + 2 * (Shape::key_panel_bytes >> 4));
        }
    }
}

/// Scores' registers, now weights, as the A operand of P·V.
template<class Element, int N>
__device__ inline void pack_weights(std::uint32_t (&packed)[N / 2], const float (&s)[N]) {
#pragma unroll
    for (int i = 0; i < N / 2; ++i)
        packed[i] = ptx::pack<Element>(s[2 * i], s[2 * i + 1]);
}

// ---------------------------------------------------------------- consumer: tiles in parts

/// Leaves this warp's part of a split tile in the workspace. True in the warp that came last: its
/// registers then hold the sum of all parts, added in the order of the parts.
template<class Shape, int N>
__device__ inline bool combine_parts(float (&o)[N], row_state& rows, const launch_parameters& p,
                                     const row_tile& tile, int group) {
    constexpr int quads = Shape::partial_quads;
    const int warp = ptx::thread_index() % 128 / 32;
    const int lane = ptx::thread_index() % 32;
    const int slot = (tile.split * Shape::groups + group) * 4 + warp; // of this warp's rows
    const auto place = [&](int part, int quad) {
        return p.partials +
               ((static_cast<std::int64_t>(slot) * p.parts + part) * quads + quad) * 32 + lane;
    };
#pragma unroll
    for (int i = 0; i < N / 4; ++i)
        __stcg(place(tile.part, i),
               make_float4(o[4 * i], o[4 * i + 1], o[4 * i + 2], o[4 * i + 3]));
    __stcg(place(tile.part, quads - 1),
           make_float4(rows.max[0], rows.max[1], rows.sum[0], rows.sum[1]));
    __threadfence();
    __syncwarp();
    unsigned before = 0;
    if (lane == 0) before = atomicAdd(p.arrivals + slot, 1U);
    if (__shfl_sync(0xFFFFFFFF, before, 0) + 1 != static_cast<unsigned>(p.parts)) return false;
    __threadfence();
    if (lane == 0) p.arrivals[slot] = 0;

    row_state all;
    for (int part = 0; part < p.parts; ++part) {
        const float4 r = __ldcg(place(part, quads - 1));
        all.max[0] = fmaxf(all.max[0], r.x);
        all.max[1] = fmaxf(all.max[1], r.y);
    }
    const float offset[2] = {offset_of(all.max[0], p.scale_log2),
                             offset_of(all.max[1], p.scale_log2)};
    clear(o);
    for (int part = 0; part < p.parts; ++part) {
        const float4 r = __ldcg(place(part, quads - 1));
        const float factor[2] = {ptx::exp2(__fmul_rn(r.x, p.scale_log2) - offset[0]),
                                 ptx::exp2(__fmul_rn(r.y, p.scale_log2) - offset[1])};
        all.sum[0] += r.z * factor[0];
        all.sum[1] += r.w * factor[1];
#pragma unroll
        for (int i = 0; i < N / 4; ++i) {
            const float4 x = __ldcg(place(part, i));
            o[4 * i] += x.x * factor[0];
            o[4 * i + 1] += x.y * factor[0];
            o[4 * i + 2] += x.z * factor[1];
            o[4 * i + 3] += x.w * factor[1];
        }
    }
    rows = all;
    return true;
}

// ---------------------------------------------------------------- consumer

template<class Shape, class Element>
__device__ inline void consume(const launch_parameters& p, shared_memory<Shape>& shared) {
    // Through a shuffle the compiler knows that the whole warp agrees: descriptors stay uniform.
    const int group = __shfl_sync(0xFFFFFFFF, static_cast<int>(threadIdx.x) / 128 - 1, 0);
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const auto row_of = [&](int thread) { // its upper row in the tile
        return group * 64 + thread / 32 * 16 + thread % 32 / 4;
    };
    const auto arrive = [&](std::uint64_t* barrier) {
        if (lane == 0) ptx::barrier_arrive(barrier);
    };
    // A slot of the rings is filled in all CTAs of the cluster at once.
    const auto release = [&](std::uint64_t* barrier) {
        if constexpr (Shape::most_cluster == 1) {
            arrive(barrier);
        } else {
            if (lane < p.cluster) ptx::barrier_arrive_at(lane, barrier);
        }
    };
    // Whose turn it is to issue products: barrier 1 + group, passed on from group to group.
    const auto take_turn = [&] { ptx::named_barrier_sync(1 + group, 256); };
    const auto pass_turn = [&] {
        ptx::named_barrier_arrive(group == Shape::groups - 1 ? 1 : 2 + group, 256);
    };
    // At the ends of tiles a warpgroup that has nothing to issue lets the others go on. A tile
    // takes two turns at least, also one without keys: so no warpgroup, two turns ahead at most,
    // waits for a third tile's slot before the last has left the first's.
    const auto skip_turn = [&] {
        if constexpr (Shape::staggered) {
            take_turn();
            pass_turn();
        }
    };
    if (group == Shape::groups - 1) pass_turn();
    for (int i = 0; i < group; ++i)
        skip_turn();

    const auto query = [&] {
        return ptx::matrix_descriptor(ptx::shared_address(shared.query) + group * 64 * 128, 16);
    };
    const auto keys = [&](std::uint32_t slot) {
        return ptx::matrix_descriptor(ptx::shared_address(shared.keys) + slot * Shape::key_bytes,
                                      16);
    };
    const auto values = [&](std::uint32_t slot) {
        return ptx::matrix_descriptor(ptx::shared_address(shared.values) + slot * Shape::key_bytes,
                                      Shape::key_panel_bytes);
    };

    ring_position<Shape::stages> key; // the values are one step behind
    ring_position<2> tile_slot;

    float s[Shape::key_tile / 2];
    std::uint32_t weights[Shape::key_tile / 4];
    float o[Shape::head_dim / 2];
    row_state rows;
    float slack; // of the tile's rows

    const auto place = [&](const row_tile& tile) {
        const query_entry& block = p.queries[tile.query_block];
        const int thread = ptx::thread_index() % 128;
        return fragment_place{.acc = block.acc,
                              .m = block.m,
                              .l = block.l,
                              .first = static_cast<std::int64_t>(tile.head) * block.tokens,
                              .tokens = block.tokens,
                              .row = tile.row + row_of(thread),
                              .head_dim = p.head_dim,
                              .lane = thread % 32,
                              .scale = p.scale,
                              .scale_log2 = p.scale_log2};
    };
    const auto mask = [&](key_tile_mask visible) {
        if (group * 64 >= visible.clear) return;
        const int thread = ptx::thread_index() % 128;
        mask_scores(s, visible.keys - 1, visible.edge + row_of(thread), thread % 32);
    };

    // The parts of a tile count as the whole.
    const auto slack_of = [&](const row_tile& tile) {
        const int parts = tile.split < 0 ? 1 : p.parts;
        return slack_for<Shape::key_tile>((tile.key_tiles + 1) * Shape::key_tile * parts,
                                          p.queries[tile.query_block].row_keys);
    };
    const auto weigh_scores = [&] {
        if constexpr (Shape::lazy) {
            return softmax_step_lazy(s, rows, p.scale_log2, slack);
        } else {
            rescaling before = softmax_step(s, rows, p.scale_log2);
            if constexpr (Shape::rescale_when_needed) {
                before.needed[0] = __any_sync(0xFFFFFFFF, before.factor[0] != 1.F);
                before.needed[1] = __any_sync(0xFFFFFFFF, before.factor[1] != 1.F);
            }
            return before;
        }
    };

    while (true) {
        ptx::barrier_wait(&shared.tile_full[tile_slot.slot()], tile_slot.parity());
        if (shared.tiles[tile_slot.slot()].query_block < 0) break;
        int left = shared.tiles[tile_slot.slot()].key_tiles;
        slack = slack_of(shared.tiles[tile_slot.slot()]);
        clear(o);
        rows = {};
        if constexpr (Shape::state_first) {
            const row_tile& tile = shared.tiles[tile_slot.slot()];
            ptx::wait_for_launches_before();
            if (!p.queries[tile.query_block].fresh && tile.part == 0)
                load_state<true>(o, rows, place(tile));
        }
        ptx::barrier_wait(&shared.query_full[group], tile_slot.step % 2);
        if (left > 0) {
            ptx::barrier_wait(&shared.keys_full[key.slot()], key.parity());
            clear(s); // or its registers would be kept over the end of the tile before
            take_turn();
            ptx::pin(s);
            ptx::products_begin();
            issue_scores<Shape, Element>(s, query(), keys(key.slot()));
            ptx::products_commit();
            pass_turn();
            key_tile_mask visible = shared.masks[key.slot()];
            ptx::products_wait<0>();
            ptx::pin(s);
            release(&shared.keys_empty[key.slot()]);
            key.advance();
            if (left == 1) arrive(&shared.query_empty[group]);
            mask(visible);
            rescaling before = weigh_scores();
            pack_weights<Element>(weights, s);
            rescale(o, before);

            while (--left > 0) {
                const ring_position<Shape::stages> value = key.before();
                ptx::barrier_wait(&shared.keys_full[key.slot()], key.parity());
                take_turn();
                ptx::pin(s);
                ptx::pin(o);
                ptx::pin(weights);
                ptx::products_begin();
                issue_scores<Shape, Element>(s, query(), keys(key.slot()));
                ptx::products_commit();
                ptx::barrier_wait(&shared.values_full[value.slot()], value.parity());
                ptx::products_begin();
                issue_values<Shape, Element>(o, weights, values(value.slot()));
                ptx::products_commit();
                pass_turn();
                visible = shared.masks[key.slot()];
                ptx::products_wait<1>();
                ptx::pin(s);
                release(&shared.keys_empty[key.slot()]);
                key.advance();
                if (left == 1) arrive(&shared.query_empty[group]);
                mask(visible);
                before = weigh_scores();
                ptx::products_wait<0>();
                ptx::pin(o);
                ptx::pin(weights);
                release(&shared.values_empty[value.slot()]);
                pack_weights<Element>(weights, s);
                rescale(o, before);
            }

            const ring_position<Shape::stages> value = key.before();
            ptx::barrier_wait(&shared.values_full[value.slot()], value.parity());
            ptx::pin(o);
            ptx::pin(weights);
            ptx::products_begin();
            issue_values<Shape, Element>(o, weights, values(value.slot()));
            ptx::products_commit();
            skip_turn();
            ptx::products_wait<0>();
            ptx::pin(o);
            release(&shared.values_empty[value.slot()]);
            if constexpr (Shape::lazy) settle(o, rows, p.scale_log2);
        } else {
            arrive(&shared.query_empty[group]);
            skip_turn();
        }
        const row_tile& tile = shared.tiles[tile_slot.slot()];
        ptx::wait_for_launches_before(); // the workspace and the state are theirs
        // All warps of a group wait for their turn at the same place, so before one of them alone
        // adds up the parts of its rows.
        if (tile.split >= 0) skip_turn();
        const bool complete = tile.split < 0 || combine_parts<Shape>(o, rows, p, tile, group);
        const bool fresh = p.queries[tile.query_block].fresh;
        const bool changed = complete && (fresh || tile.key_tiles > 0 || tile.split >= 0);
        if (changed && !fresh && !Shape::state_first) {
            stored_row<Shape::head_dim / 4> upper;
            stored_row<Shape::head_dim / 4> lower;
            read_row<true>(upper, 0, place(tile));
            read_row<true>(lower, 1, place(tile));
            if (tile.split < 0) skip_turn();
            add_row<true>(o, rows, upper, 0, place(tile));
            add_row<true>(o, rows, lower, 1, place(tile));
        } else if (tile.split < 0) {
            skip_turn();
        }
        if (changed) store_state<true>(o, rows, place(tile));
        __syncwarp();
        arrive(&shared.tile_empty[tile_slot.slot()]);
        tile_slot.advance();
    }
    for (int i = group; i < Shape::groups - 1; ++i)
        skip_turn(); // the others are not done yet
    // None leaves while another waits for its turn.
    ptx::named_barrier_sync(1 + Shape::groups, 128 * Shape::groups);
}

// ---------------------------------------------------------------- kernel

template<class Shape, class Element>
__global__ void __launch_bounds__(Shape::threads, 1)
    attend_kernel(const __grid_constant__ launch_parameters p) {
    extern __shared__ __align__(1024) std::byte memory[];
    auto& shared = *reinterpret_cast<shared_memory<Shape>*>(memory);

    if (threadIdx.x == 0) {
        ptx::allow_next_launch();
        constexpr int consumer_warps = 4 * Shape::groups;
        for (int i = 0; i < Shape::groups; ++i) {
            ptx::barrier_init(&shared.query_full[i], 1);
            ptx::barrier_init(&shared.query_empty[i], 4);
        }
        for (int i = 0; i < Shape::stages; ++i) {
            ptx::barrier_init(&shared.keys_full[i], 1);
            ptx::barrier_init(&shared.keys_empty[i], consumer_warps * cluster_of<Shape>(p));
            ptx::barrier_init(&shared.values_full[i], 1);
            ptx::barrier_init(&shared.values_empty[i], consumer_warps * cluster_of<Shape>(p));
        }
        for (int i = 0; i < 2; ++i) {
            ptx::barrier_init(&shared.tile_full[i], 1);
            ptx::barrier_init(&shared.tile_empty[i], consumer_warps + 2);
        }
        ptx::barrier_init(&shared.item_full, 1);
        ptx::barrier_init(&shared.item_empty, 1);
        ptx::fence_barrier_init();
    }
    if (cluster_of<Shape>(p) > 1)
        ptx::cluster_sync();
    else
        __syncthreads();

    if (threadIdx.x < 128) {
        ptx::lower_registers<Shape::producer_registers>();
        if (threadIdx.x == 0) produce_keys<Shape>(p, shared);
        if (threadIdx.x == 32) produce_values<Shape>(p, shared);
        if (threadIdx.x == 64) produce_queries<Shape>(p, shared);
        if (threadIdx.x >= 96) {
            for (int j = static_cast<int>(threadIdx.x) - 96; j < p.key_blocks; j += 32) {
                ptx::prefetch_tensor_map(&p.key_maps[j]);
                ptx::prefetch_tensor_map(&p.value_maps[j]);
            }
        }
    } else {
        ptx::raise_registers<Shape::consumer_registers>();
        consume<Shape, Element>(p, shared);
    }
    // No CTA leaves while the other copies to its memory or arrives at its barriers.
    if (cluster_of<Shape>(p) > 1) ptx::cluster_sync();
}

} // namespace cqsa::cuda::hopper
