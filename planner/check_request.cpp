// SPDX-License-Identifier: Apache-2.0
#include "planner/check_request.hpp"

#include "planner/difference_set.hpp"
#include "planner/divide.hpp"
#include "planner/error.hpp"

#include <algorithm>
#include <string>

namespace cqsa {
namespace {

void require(bool truth, error_code code, const std::string& sentence) {
    if (!truth) throw Error(code, sentence);
}

std::string number(std::int64_t value) {
    return std::to_string(value);
}

/// Whether the product of the factors stays below 2^61: room for a sum of a few of them.
template<class... Factors>
bool countable(Factors... factors) {
    std::int64_t product = 1;
    for (const std::int64_t factor : {std::max<std::int64_t>(1, factors)...}) {
        if (__builtin_mul_overflow(product, factor, &product)) return false;
    }
    return product < std::int64_t{1} << 61;
}

void check_rates(const rates& rates, bool device, const std::string& name) {
    bool positive = rates.attend_flops_per_second > 0 && rates.merge_bytes_per_second > 0;
    if (device) {
        positive = positive && rates.h2d_bytes_per_second > 0 && rates.d2h_bytes_per_second > 0;
    }
    require(positive, error_code::usage, "the rates of the " + name + " must be positive");
}

void check_positive(const std::optional<std::int64_t>& value, const std::string& name) {
    require(!value || *value > 0, error_code::usage,
            name + " must be positive, but " + number(value.value_or(0)) + " came");
}

} // namespace

void check_problem(const problem& p) {
    const auto input = error_code::bad_input;
    require(p.batch >= 1, input, "batch must be at least 1, but " + number(p.batch) + " came");
    require(p.heads >= 1, input, "heads must be at least 1, but " + number(p.heads) + " came");
    require(p.kv_heads >= 1 && p.heads % p.kv_heads == 0, input,
            "heads must be a multiple of kv_heads, but " + number(p.heads) + " heads and " +
                number(p.kv_heads) + " kv_heads came");
    require(p.tokens >= 0, input, "tokens must not be negative, but " + number(p.tokens) + " came");
    require(p.kv_tokens >= 0, input,
            "kv_tokens must not be negative, but " + number(p.kv_tokens) + " came");
    require(p.head_dim >= 1 && p.head_dim <= 256, input,
            "head_dim must be from 1 to 256, but " + number(p.head_dim) + " came");
    // Per token at most 3 tensors of 256 elements or one state, of 8 bytes each.
    require(countable(p.batch, p.heads, p.tokens, std::int64_t{16} * 256) &&
                countable(p.batch, p.heads, p.kv_tokens, std::int64_t{16} * 256),
            input,
            "batch " + number(p.batch) + ", heads " + number(p.heads) + ", tokens " +
                number(p.tokens) + " and kv_tokens " + number(p.kv_tokens) +
                " make more bytes than 64 bits can count");
}

void check_machine(const machine& machine) {
    require(machine.cpu || machine.devices > 0, error_code::usage,
            "a plan needs a CPU or a device to run on, but the machine has neither");
    require(machine.devices >= 0, error_code::usage,
            "devices must not be negative, but " + number(machine.devices) + " came");
    require(machine.device_bytes >= 0 && machine.host_bytes >= 0, error_code::usage,
            "memory budgets must not be negative, but " + number(machine.device_bytes) +
                " device bytes and " + number(machine.host_bytes) + " host bytes came");
    require(machine.alignment >= 1 && machine.alignment <= std::int64_t{1} << 20, error_code::usage,
            "alignment must be from 1 to 2^20, but " + number(machine.alignment) + " came");
    require(machine.device_page_bytes >= 1, error_code::usage,
            "a page of device memory must be at least 1 byte, but " +
                number(machine.device_page_bytes) + " came");
    if (machine.cpu) check_rates(machine.cpu_rates, false, "CPU");
    if (machine.devices > 0) check_rates(machine.device_rates, true, "devices");
}

void check_request(const plan_request& request) {
    const auto usage = error_code::usage;
    if (request.chunks) {
        require(*request.chunks >= 1 && *request.chunks <= max_chunks, usage,
                "chunks must be from 1 to " + number(max_chunks) + ", but " +
                    number(*request.chunks) + " came");
    }
    if (request.depth) {
        require(*request.depth >= 1 && *request.depth <= max_depth, usage,
                "depth must be from 1 to " + number(max_depth) + ", but " + number(*request.depth) +
                    " came");
    }
    check_positive(request.block_tokens, "block tokens");
    check_positive(request.strip_tokens, "strip tokens");
    check_positive(request.segment_tokens, "segment tokens");
    require(request.flow != state_flow::merged || request.order != task_order::query_major, usage,
            "merged partial states need quorum-major order, but query-major was asked for");
    require(request.tolerance >= 0, usage,
            "tolerance must not be negative, but " + std::to_string(request.tolerance) + " came");
}

} // namespace cqsa
