// SPDX-License-Identifier: Apache-2.0
// NaN, huge logits and rows that see no key, from files to files, with every instruction set.
#include "codelets/cpu/isa.hpp"
#include "codelets/element.hpp"
#include "opaque_bfloat16.hpp"
#include "process.hpp"
#include "runtime/files/array_file.hpp"
#include "runtime/files/random_array.hpp"
#include "tests/files/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace cqsa::test {
namespace {

// Two query heads read each key head; aligned at the bottom right, 100 queries see no key and query
// r sees the keys up to r - 100.
constexpr std::int64_t heads = 4;
constexpr std::int64_t tokens = 600;
constexpr std::int64_t keys = 500;
constexpr std::int64_t dim = 24;
constexpr std::int64_t unseen = tokens - keys;
// Head 0 scores 16 · 256 · dim with this key, and all others next to nothing.
constexpr std::int64_t huge_key = 200;
constexpr double huge_score = 16.0 * 256 * dim;
constexpr std::int64_t nan_query = 400; ///< of head 1
constexpr std::int64_t nan_key = 350;   ///< of the second key head

/// A few roundings of the type, relative.
double rounding(data_type type) {
    return type == data_type::f64   ? 1e-14
           : type == data_type::f32 ? 1e-6
           : type == data_type::f16 ? 0x1p-10
                                    : 0x1p-7;
}

class SpecialValues : public ::testing::TestWithParam<std::tuple<data_type, cpu_isa>> {
  protected:
    [[nodiscard]] data_type type() const { return std::get<0>(GetParam()); }

    /// Writes an array of normal numbers after `change` has set some; bf16 in NumPy's opaque form,
    /// which is read but not written.
    template<class Change>
    void write(const std::string& name, std::int64_t array_heads, std::int64_t array_tokens,
               std::uint64_t stream, Change change) {
        const data_type stored = type() == data_type::bf16 ? data_type::f16 : type();
        const std::vector<std::int64_t> shape{1, array_heads, array_tokens, dim};
        files::array_sink sink =
            files::create_array(folder_.file(name + ".npy"), "--out", name, stored, shape);
        files::fill_normal(sink.data, type(), array_heads * array_tokens * dim, 3, stream);
        change([&](std::int64_t head, std::int64_t token, std::int64_t element, double value) {
            write_element(type(), sink.data, (head * array_tokens + token) * dim + element, value);
        });
        if (stored != type()) mark_as_bfloat16(sink);
        sink.file.commit();
    }

    [[nodiscard]] std::string file(const std::string& name) const { return folder_.file(name); }

  private:
    TemporaryFolder folder_;
};

TEST_P(SpecialValues, stay_where_they_belong) {
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    constexpr double infinity = std::numeric_limits<double>::infinity();
    write("q", heads, tokens, 0, [&](auto set) {
        for (std::int64_t t = 0; t < tokens; ++t)
            for (std::int64_t e = 0; e < dim; ++e)
                set(0, t, e, 16);
        set(1, nan_query, 5, nan);
    });
    write("k", heads / 2, keys, 1, [&](auto set) {
        for (std::int64_t e = 0; e < dim; ++e)
            set(0, huge_key, e, 256);
        set(1, nan_key, 7, nan);
    });
    write("v", heads / 2, keys, 2, [](auto) {});

    const process_result result =
        run_tool({"attend",
                  "--q",
                  file("q.npy"),
                  "--k",
                  file("k.npy"),
                  "--v",
                  file("v.npy"),
                  "--dtype",
                  std::string(name_of(type())),
                  "--causal",
                  "--causal-align",
                  "bottom-right",
                  "--scale",
                  "1",
                  "--chunks",
                  "7",
                  "--order",
                  "quorum",
                  "--out",
                  file("o.safetensors"),
                  "--lse",
                  file("lse.npy"),
                  "-q"},
                 {"CQSA_CPU_ISA=" + std::string(name_of(std::get<1>(GetParam())))});
    ASSERT_EQ(result.code, 0) << result.err;

    const auto out = files::open_safetensors(file("o.safetensors"), {"o", "o", "o"})[0];
    const tensor o = files::view_of(out, files::axis_order::bhnd);
    const auto values = files::open_npy(file("v.npy"), "v");
    const tensor v = files::view_of(values, files::axis_order::bhnd, type());
    const auto lse_file = files::open_npy(file("lse.npy"), "lse");
    const auto* lse = lse_file.file->bytes().data() + lse_file.layout.offset;
    for (std::int64_t h = 0; h < heads; ++h) {
        for (std::int64_t t = 0; t < tokens; ++t) {
            SCOPED_TRACE(::testing::Message() << "head " << h << ", query " << t);
            const double row_lse = read_element(lse_file.layout.type, lse, h * tokens + t);
            const bool is_nan = (h == 1 && t == nan_query) || (h >= 2 && t >= nan_key + unseen);
            ASSERT_EQ(std::isnan(row_lse), is_nan);
            const bool has_huge = h == 0 && t >= huge_key + unseen;
            if (has_huge) {
                ASSERT_NEAR(row_lse, huge_score, rounding(state_type(type())) * huge_score);
            }
            if (t < unseen) {
                ASSERT_EQ(row_lse, -infinity);
            }
            for (std::int64_t e = 0; e < dim; ++e) {
                const double element = read_element(o.type, o.data, (h * tokens + t) * dim + e);
                ASSERT_EQ(std::isnan(element), is_nan);
                if (has_huge) {
                    const double expected = read_element(v.type, v.data, huge_key * dim + e);
                    ASSERT_NEAR(element, expected, rounding(type()) * std::abs(expected));
                }
                if (t < unseen) {
                    ASSERT_EQ(element, 0);
                }
            }
        }
    }
}

/// The instruction sets of this machine.
std::vector<cpu_isa> all_isas() {
    std::vector<cpu_isa> isas;
    for (const cpu_isa isa :
         {cpu_isa::portable, cpu_isa::avx2, cpu_isa::avx512, cpu_isa::avx512bf16, cpu_isa::amx})
        if (isa <= best_isa()) isas.push_back(isa);
    return isas;
}

INSTANTIATE_TEST_SUITE_P(all, SpecialValues,
                         ::testing::Combine(::testing::Values(data_type::f32, data_type::f16,
                                                              data_type::bf16, data_type::f64),
                                            ::testing::ValuesIn(all_isas())),
                         [](const auto& test) {
                             return std::string(name_of(std::get<0>(test.param))) + "_" +
                                    std::string(name_of(std::get<1>(test.param)));
                         });

} // namespace
} // namespace cqsa::test
