// SPDX-License-Identifier: Apache-2.0
#include "planner/difference_set.hpp"
#include "planner/divide.hpp"
#include "planner/error.hpp"
#include "planner/leaf.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <map>
#include <set>

namespace cqsa {
namespace {

QuorumSystem quorums_of(std::int64_t c) {
    return {c, difference_set(c)};
}

TEST(QuorumSystem, ListsTheQuorumsOfSevenChunks) {
    const QuorumSystem quorums(7, {0, 1, 3});
    const std::vector<std::vector<std::int64_t>> expected = {
        {0, 1, 3}, {1, 2, 4}, {2, 3, 5}, {3, 4, 6}, {0, 4, 5}, {1, 5, 6}, {0, 2, 6}};
    for (std::int64_t s = 0; s < 7; ++s)
        EXPECT_EQ(quorums.quorum(s), expected[s]);
}

TEST(QuorumSystem, GivesEveryPairToAQuorumThatHoldsBoth) {
    for (std::int64_t c = 1; c <= 60; ++c) {
        const auto quorums = quorums_of(c);
        std::map<std::int64_t, std::int64_t> owned;
        for (std::int64_t i = 0; i < c; ++i) {
            for (std::int64_t j = 0; j < c; ++j) {
                const std::int64_t s = quorums.owner(i, j);
                const auto members = quorums.quorum(s);
                ASSERT_TRUE(std::ranges::binary_search(members, i)) << c << ": " << i << ", " << j;
                ASSERT_TRUE(std::ranges::binary_search(members, j)) << c << ": " << i << ", " << j;
                ASSERT_EQ(s, quorums.owner(j, i)) << c << ": " << i << ", " << j;
                ++owned[s];
            }
            ASSERT_EQ(quorums.owner(i, i), i);
        }
        // Translation invariance; the difference c/2 of an even c is shared by half the quorums.
        for (std::int64_t s = 0; s < c; ++s) {
            const std::int64_t least = c % 2 == 0 ? c - 1 : c;
            ASSERT_GE(owned[s], least) << "c " << c;
            ASSERT_LE(owned[s], c % 2 == 0 ? c + 1 : c) << "c " << c;
        }
    }
}

TEST(QuorumSystem, KnowsPlacesInItsQuorums) {
    for (const std::int64_t c : {1, 2, 3, 7, 10, 31}) {
        const auto quorums = quorums_of(c);
        for (std::int64_t s = 0; s < c; ++s) {
            const auto members = quorums.quorum(s);
            for (std::int64_t chunk = 0; chunk <= c; ++chunk) {
                const auto place = std::ranges::lower_bound(members, chunk) - members.begin();
                ASSERT_EQ(quorums.members_below(s, chunk), place);
                if (chunk == c) continue;
                ASSERT_EQ(quorums.contains(s, chunk), std::ranges::binary_search(members, chunk));
            }
        }
    }
}

TEST(QuorumSystem, OfAPerfectSetOwnsAllItsPairsAndOneDiagonal) {
    for (const std::int64_t c : {3, 7, 13, 21, 31, 57}) {
        const auto quorums = quorums_of(c);
        for (std::int64_t s = 0; s < c; ++s) {
            int diagonals = 0;
            for (const auto i : quorums.quorum(s)) {
                for (const auto j : quorums.quorum(s)) {
                    if (i == j)
                        diagonals += quorums.owner(i, i) == s ? 1 : 0;
                    else
                        ASSERT_EQ(quorums.owner(i, j), s);
                }
            }
            ASSERT_EQ(diagonals, 1);
        }
    }
}

TEST(QuorumSystem, RefusesWhatIsNoCover) {
    EXPECT_THROW(QuorumSystem(7, {0, 1, 2}), Error);
    EXPECT_THROW(QuorumSystem(7, {1, 2, 4}), Error);
    EXPECT_THROW(QuorumSystem(7, {0, 3, 1}), Error);
    EXPECT_THROW(QuorumSystem(7, {0, 1, 1, 3}), Error);
    EXPECT_THROW(QuorumSystem(7, {0, 1, 7}), Error);
    EXPECT_THROW(QuorumSystem(7, {}), Error);
    EXPECT_THROW(QuorumSystem(0, {0}), Error);
}

/// CQS Divide as the paper words it: gather, divide again, and keep a pair that is owned at every
/// level. Counts how often each pair of blocks is owned, and by which leaf.
class Recursion {
  public:
    Recursion(const Divide& divide) : divide_(divide) {
        std::vector<std::int64_t> queries;
        std::vector<std::int64_t> keys;
        queries.reserve(divide.query_blocks());
        for (std::int64_t i = 0; i < divide.query_blocks(); ++i)
            queries.push_back(i);
        keys.reserve(divide.key_blocks());
        for (std::int64_t i = 0; i < divide.key_blocks(); ++i)
            keys.push_back(i);
        std::vector<std::pair<std::int64_t, std::int64_t>> all;
        for (const auto q : queries) {
            for (const auto k : keys)
                all.emplace_back(q, k);
        }
        visit(1, 0, queries, keys, {all.begin(), all.end()});
    }
    std::map<std::pair<std::int64_t, std::int64_t>, std::vector<std::int64_t>> owners;
    std::map<std::int64_t, std::vector<std::int64_t>> queries_of;
    std::map<std::int64_t, std::vector<std::int64_t>> keys_of;

  private:
    using blocks = std::vector<std::int64_t>;
    using pair_set = std::set<std::pair<std::int64_t, std::int64_t>>;

    static std::vector<blocks> cut(const blocks& sequence, std::int64_t c) {
        const auto items = static_cast<std::int64_t>(sequence.size());
        const std::int64_t size = std::max<std::int64_t>(1, (items + c - 1) / c);
        std::vector<blocks> chunks(c);
        for (std::int64_t i = 0; i < items; ++i)
            chunks[i / size].push_back(sequence[i]);
        return chunks;
    }

    void visit(int level, std::int64_t prefix, const blocks& queries, const blocks& keys,
               const pair_set& owned) {
        const std::int64_t c = divide_.quorums().chunks();
        const auto query_chunks = cut(queries, c);
        const auto key_chunks = cut(keys, c);
        for (std::int64_t s = 0; s < c; ++s) {
            blocks q;
            blocks k;
            pair_set mine;
            for (const auto i : divide_.quorums().quorum(s)) {
                q.insert(q.end(), query_chunks[i].begin(), query_chunks[i].end());
                k.insert(k.end(), key_chunks[i].begin(), key_chunks[i].end());
                for (const auto j : divide_.quorums().quorum(s)) {
                    if (divide_.quorums().owner(i, j) != s) continue;
                    for (const auto a : query_chunks[i]) {
                        for (const auto b : key_chunks[j]) {
                            if (owned.contains({a, b})) mine.insert({a, b});
                        }
                    }
                }
            }
            const std::int64_t leaf = prefix * c + s;
            if (mine.empty()) continue;
            if (level < divide_.depth()) {
                visit(level + 1, leaf, q, k, mine);
                continue;
            }
            for (const auto& pair : mine)
                owners[pair].push_back(leaf);
            queries_of[leaf] = q;
            keys_of[leaf] = k;
        }
    }

    const Divide& divide_;
};

struct division {
    std::int64_t c;
    int depth;
    std::int64_t query_blocks;
    std::int64_t key_blocks;
};

std::vector<division> divisions() {
    std::vector<division> all;
    for (const std::int64_t c : {1, 2, 3, 4, 5, 6, 7, 8, 13}) {
        for (int depth = 1; depth <= 3; ++depth) {
            for (const std::int64_t n : {1, 2, 5, 14, 29}) {
                all.push_back({c, depth, n, n});
                all.push_back({c, depth, n, (7 * n + 5) % 31 + 1});
            }
        }
    }
    return all;
}

TEST(Divide, AgreesWithTheRecursionOfThePaper) {
    for (const auto& [c, depth, query_blocks, key_blocks] : divisions()) {
        const Divide divide(quorums_of(c), depth, query_blocks, key_blocks);
        const Recursion expected(divide);
        for (std::int64_t q = 0; q < query_blocks; ++q) {
            for (std::int64_t k = 0; k < key_blocks; ++k) {
                const auto found = expected.owners.find({q, k});
                ASSERT_NE(found, expected.owners.end());
                ASSERT_EQ(found->second, std::vector<std::int64_t>{divide.owner(q, k)})
                    << c << "^" << depth << ", blocks " << query_blocks << " x " << key_blocks;
            }
        }
    }
}

std::vector<std::int64_t> blocks_of(const std::vector<block_run>& runs) {
    std::vector<std::int64_t> blocks;
    for (const auto& run : runs) {
        EXPECT_EQ(run.position, static_cast<std::int64_t>(blocks.size()));
        for (std::int64_t i = 0; i < run.count; ++i)
            blocks.push_back(run.first + i);
    }
    return blocks;
}

TEST(LeafStream, ListsTheLeavesThatOwnAPairInOrder) {
    for (const auto& [c, depth, query_blocks, key_blocks] : divisions()) {
        const Divide divide(quorums_of(c), depth, query_blocks, key_blocks);
        const Recursion expected(divide);
        LeafStream leaves(divide);
        auto next = expected.queries_of.begin();
        while (const leaf* leaf = leaves.next()) {
            ASSERT_NE(next, expected.queries_of.end());
            ASSERT_EQ(leaf->index, next->first);
            ASSERT_EQ(blocks_of(leaf->queries), next->second);
            ASSERT_EQ(blocks_of(leaf->keys), expected.keys_of.at(leaf->index));
            for (std::size_t q = 0; q < leaf->queries.size(); ++q) {
                for (std::size_t k = 0; k < leaf->keys.size(); ++k) {
                    const auto last = leaf->keys[k].first + leaf->keys[k].count - 1;
                    ASSERT_EQ(leaf->owns(q, k),
                              divide.owner(leaf->queries[q].first, last) == leaf->index);
                }
            }
            ++next;
        }
        ASSERT_EQ(next, expected.queries_of.end());
    }
}

TEST(LeafStream, PassesOverEmptyLeavesQuickly) {
    const Divide divide(quorums_of(4'161), 4, 3, 2); // 3·10^14 leaves
    LeafStream leaves(divide);
    int count = 0;
    while (leaves.next() != nullptr)
        ++count;
    EXPECT_GE(count, 1);
    EXPECT_LE(count, 6);
}

TEST(Divide, RefusesDepthsOutOfRange) {
    EXPECT_THROW(Divide(quorums_of(7), 0, 1, 1), Error);
    EXPECT_THROW(Divide(quorums_of(7), 23, 1, 1), Error); // 7^23 > 2^63
    EXPECT_NO_THROW(Divide(quorums_of(7), 22, 1, 1));
    EXPECT_THROW(Divide(quorums_of(1), max_depth + 1, 1, 1), Error);
}

} // namespace
} // namespace cqsa
