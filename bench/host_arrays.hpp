// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/cases.hpp"
#include "runtime/attend.hpp"
#include "runtime/tool/host_buffer.hpp"

namespace cqsa::bench {

/// A case's Q, K and V in host memory, and room for O and LSE: made in parallel, for problems of
/// many GiB.
class HostArrays {
  public:
    /// `filled`: with standard normal numbers; otherwise nothing is touched, for measurements that
    /// depend on sizes alone.
    HostArrays(const attend_case& x, bool filled);

    [[nodiscard]] tensor q() const { return read(q_); }
    [[nodiscard]] tensor k() const { return read(k_); }
    [[nodiscard]] tensor v() const { return read(v_); }
    [[nodiscard]] mutable_tensor out() const;
    [[nodiscard]] mutable_tensor lse() const;

    /// Makes every output NaN, so that none can stand from an earlier run.
    void spoil_outputs() const;

    [[nodiscard]] std::int64_t operand_bytes() const;
    [[nodiscard]] std::int64_t lse_bytes() const;

  private:
    [[nodiscard]] tensor read(const tool::HostBuffer& buffer) const;

    attend_case case_;
    bool filled_;
    tool::HostBuffer q_, k_, v_, out_, lse_;
};

} // namespace cqsa::bench
