// SPDX-License-Identifier: Apache-2.0
// A user's program: plans an attention, computes a small one on the CPU, and catches an error.
#include "runtime/attend.hpp"

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <vector>

namespace {

constexpr std::array<std::int64_t, 4> shape{1, 2, 300, 16};

cqsa::tensor view(const std::vector<float>& values) {
    return {values.data(), cqsa::data_type::f32, shape, cqsa::bhnd_strides(shape)};
}

std::vector<float> waves(float frequency) {
    std::vector<float> values(1 * 2 * 300 * 16);
    for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = std::sin(frequency * static_cast<float>(i));
    return values;
}

} // namespace

int main() {
    const auto q = waves(0.7F);
    const auto k = waves(0.3F);
    const auto v = waves(0.1F);
    std::vector<float> out(q.size());
    cqsa::attend_options options;
    options.workers = cqsa::worker_set::cpu;

    const auto report = cqsa::attend(
        view(q), view(k), view(v),
        {out.data(), cqsa::data_type::f32, shape, cqsa::bhnd_strides(shape)}, {}, options);
    const auto checked = cqsa::verify(view(q), view(k), view(v), view(out), {}, options, 64);
    std::printf("%lld tasks, relative error %.1e\n", static_cast<long long>(report.plan.tasks),
                checked.rel_error);
    if (!(checked.rel_error < 1e-6)) return 1;

    try {
        cqsa::attend(view(q), view(k), {}, {}, {}, options);
    } catch (const cqsa::Error& error) {
        std::printf("an error has a sentence: %s\n", error.what());
        return error.code() == cqsa::error_code::bad_input ? 0 : 1;
    }
    return 1;
}
