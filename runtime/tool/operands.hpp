// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/files/array_file.hpp"
#include "runtime/tool/command_line.hpp"
#include "runtime/tool/host_buffer.hpp"

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace cqsa::tool {

/// q, k and v, from mapped files or to be made at random, checked to fit together.
struct input_set {
    std::array<files::array_source, 3> sources;
    std::array<HostBuffer, 3> buffers;
    std::array<tensor, 3> tensors; ///< of a random set without data until make_random
    std::size_t rank = 4;          ///< axes of the files, and of --out
    cqsa::problem problem;
};

/// Looks at headers only. Throws Error(bad_input) with a sentence that names the operand and its
/// file; Error(usage) where --out-dtype does not go with the type.
input_set open_inputs(const request& request);

/// Makes the data of a random set.
void make_random(input_set& inputs, std::uint64_t seed);

/// Asks the system to read ahead as much of the mapped inputs as fits main memory.
void read_ahead(const input_set& inputs);

/// Where o and lse go: files that appear at commit, or memory for what is only checked.
class OutputSet {
  public:
    /// Creates and sizes the files. Throws Error(usage) or Error(failure).
    OutputSet(const request& request, const input_set& inputs);

    [[nodiscard]] const mutable_tensor& out() const { return out_; }
    /// data == nullptr when neither wanted nor verified.
    [[nodiscard]] const mutable_tensor& lse() const { return lse_; }

    /// Syncs all files, then renames them.
    void commit();

  private:
    std::vector<files::OutputFile> files_;
    std::vector<HostBuffer> buffers_;
    mutable_tensor out_;
    mutable_tensor lse_;
};

/// Checks without touching any file that the outputs are of a known format, that no two are the
/// same file and that none is an input. Throws Error(usage).
void check_output_names(const request& request, const input_set& inputs);

/// Throws Error(does_not_fit) when the arrays that a run would make in main memory exceed what is
/// available there.
void check_host_memory(const request& request, const input_set& inputs);

} // namespace cqsa::tool
