// SPDX-License-Identifier: Apache-2.0
#include "planner/leaf.hpp"

#include <algorithm>
#include <utility>

namespace cqsa {
namespace {

/// The runs of a gathered subsequence, with the run of the parent and the chunk each came from.
struct gathered_runs {
    std::vector<block_run> runs;
    std::vector<std::size_t> parents;
    std::vector<std::int64_t> chunks;
};

gathered_runs gather(const std::vector<block_run>& runs, const chunk_cut& cut,
                     const std::vector<std::int64_t>& members) {
    gathered_runs result;
    std::int64_t position = 0;
    std::size_t r = 0;
    for (const std::int64_t chunk : members) {
        const std::int64_t begin = cut.begin(chunk);
        const std::int64_t end = cut.begin(chunk + 1);
        if (begin == end) break;
        while (runs[r].position + runs[r].count <= begin)
            ++r;
        for (; r < runs.size() && runs[r].position < end; ++r) {
            const std::int64_t from = std::max(begin, runs[r].position);
            const std::int64_t to = std::min(end, runs[r].position + runs[r].count);
            result.runs.push_back({runs[r].first + from - runs[r].position, to - from, position});
            result.parents.push_back(r);
            result.chunks.push_back(chunk);
            position += to - from;
            if (runs[r].position + runs[r].count > end) break;
        }
    }
    return result;
}

} // namespace

leaf whole_sequence(std::int64_t query_blocks, std::int64_t key_blocks) {
    leaf whole;
    if (query_blocks > 0) whole.queries = {{0, query_blocks, 0}};
    if (key_blocks > 0) whole.keys = {{0, key_blocks, 0}};
    whole.owned.assign(whole.queries.size() * whole.keys.size(), 1);
    return whole;
}

LeafStream::LeafStream(const Divide& divide) : divide_(&divide) {
    if (divide.query_blocks() == 0 || divide.key_blocks() == 0) return;
    path_.push_back({whole_sequence(divide.query_blocks(), divide.key_blocks()), {}, 0});
    open(path_.back());
}

/// With more chunks than pairs of non-empty ones, the quorums worth trying are the owners of these.
void LeafStream::open(node& parent) const {
    const QuorumSystem& quorums = divide_->quorums();
    const std::int64_t c = quorums.chunks();
    const std::int64_t query_chunks = std::min(c, parent.here.query_blocks());
    const std::int64_t key_chunks = std::min(c, parent.here.key_blocks());
    if (query_chunks * key_chunks >= c) return;
    for (std::int64_t i = 0; i < query_chunks; ++i) {
        for (std::int64_t j = 0; j < key_chunks; ++j) {
            parent.children.push_back(quorums.owner(i, j));
        }
    }
    std::ranges::sort(parent.children);
    parent.children.erase(std::unique(parent.children.begin(), parent.children.end()),
                          parent.children.end());
}

bool LeafStream::descend(const leaf& parent, std::int64_t s, leaf& child) const {
    const QuorumSystem& quorums = divide_->quorums();
    const auto members = quorums.quorum(s);
    auto queries =
        gather(parent.queries, chunk_cut(parent.query_blocks(), quorums.chunks()), members);
    auto keys = gather(parent.keys, chunk_cut(parent.key_blocks(), quorums.chunks()), members);
    child.index = parent.index * quorums.chunks() + s;
    child.owned.clear();
    bool any = false;
    for (std::size_t q = 0; q < queries.runs.size(); ++q) {
        for (std::size_t k = 0; k < keys.runs.size(); ++k) {
            const bool owned = parent.owns(queries.parents[q], keys.parents[k]) &&
                               quorums.owner(queries.chunks[q], keys.chunks[k]) == s;
            child.owned.push_back(owned ? 1 : 0);
            any = any || owned;
        }
    }
    child.queries = std::move(queries.runs);
    child.keys = std::move(keys.runs);
    return any;
}

const leaf* LeafStream::next() {
    while (!path_.empty()) {
        node& parent = path_.back();
        const std::int64_t count = parent.children.empty()
                                       ? divide_->quorums().chunks()
                                       : static_cast<std::int64_t>(parent.children.size());
        if (parent.next_child == count) {
            path_.pop_back();
            continue;
        }
        const std::int64_t s =
            parent.children.empty() ? parent.next_child : parent.children[parent.next_child];
        ++parent.next_child;
        if (!descend(parent.here, s, current_)) continue;
        if (static_cast<int>(path_.size()) == divide_->depth()) return &current_;
        path_.push_back({std::move(current_), {}, 0});
        open(path_.back());
    }
    return nullptr;
}

} // namespace cqsa
