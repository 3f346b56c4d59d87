// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace cqsa::tool {

// Numbers as people type them. Each throws Error(usage) with one sentence that begins with `option`
// and says what was expected and what came.

/// "512MiB", "4GiB", "1.5e9", "64k": bytes, at least 1. k, M, G, T, P are powers of 1000, Ki, Mi,
/// Gi, Ti, Pi powers of 1024; the case of letters and a B at the end do not matter. Parts of bytes
/// are cut off.
std::int64_t parse_bytes(const std::string& option, const std::string& text);

/// "65536", "64Ki", "1e9", "1.5M": an integer of at least `least`, with the same suffixes but no B.
std::int64_t parse_count(const std::string& option, const std::string& text, std::int64_t least);

/// "1,8,65536,64": four counts of at least 1.
std::array<std::int64_t, 4> parse_shape(const std::string& option, const std::string& text);

/// An unsigned 64-bit integer.
std::uint64_t parse_seed(const std::string& option, const std::string& text);

/// A finite number.
double parse_number(const std::string& option, const std::string& text);

// Numbers as people read them.

std::string text_of_seconds(double seconds);       ///< "0.12 s", "42 s", "3:25", "1:02:03"
std::string text_of_clock(double seconds);         ///< "0:42", "1:02:03", "5.3 days"
std::string text_of_rate(double flops_per_second); ///< "228 GFLOP/s"

} // namespace cqsa::tool
