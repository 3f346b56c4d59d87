// SPDX-License-Identifier: Apache-2.0
#include "codelets/host_pieces.hpp"

#include <gtest/gtest.h>

#include <unistd.h>

namespace cqsa::test {
namespace {

const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));

TEST(HostPieces, CoverWholePagesOfDisjointRanges) {
    // Two ranges that share a page, and one apart.
    const HostPieces pieces({{20 * page + 5, 10}, {10 * page + 1, page}, {11 * page + 9, page}, {}},
                            2 * page);
    ASSERT_EQ(pieces.count(), 3);
    EXPECT_EQ(pieces.piece(0).begin, 10 * page);
    EXPECT_EQ(pieces.piece(0).bytes, 2 * page);
    EXPECT_EQ(pieces.piece(1).begin, 12 * page);
    EXPECT_EQ(pieces.piece(1).bytes, page);
    EXPECT_EQ(pieces.piece(2).begin, 20 * page);
    EXPECT_EQ(pieces.piece(2).bytes, page);
    EXPECT_EQ(pieces.piece_of(10 * page - 1), 3);
    EXPECT_EQ(pieces.piece_of(12 * page - 1), 0);
    EXPECT_EQ(pieces.piece_of(12 * page), 1);
    EXPECT_EQ(pieces.piece_of(13 * page), 3);
    EXPECT_EQ(pieces.piece_of(20 * page + 7), 2);
}

TEST(HostPieces, CutWherePiecesBeginAndEnd) {
    const HostPieces pieces({{10 * page, 3 * page}}, 2 * page);
    EXPECT_EQ(pieces.uncut_bytes(8 * page, page), page);
    EXPECT_EQ(pieces.uncut_bytes(8 * page, 5 * page), 2 * page);
    EXPECT_EQ(pieces.uncut_bytes(10 * page + 1, page), page);
    EXPECT_EQ(pieces.uncut_bytes(10 * page + 1, 9 * page), 2 * page - 1);
    EXPECT_EQ(pieces.uncut_bytes(12 * page, 9 * page), page);
    EXPECT_EQ(pieces.uncut_bytes(13 * page, 9 * page), 9 * page);
    EXPECT_EQ(HostPieces().uncut_bytes(1, 5), 5);
}

} // namespace
} // namespace cqsa::test
