// SPDX-License-Identifier: Apache-2.0
#include "runtime/files/safetensors_header.hpp"

#include "runtime/files/text.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

namespace cqsa::files {
namespace {

using nlohmann::json;

constexpr std::int64_t longest_header = 100'000'000; // the format's own limit

/// Takes the header event by event, so that a hostile one (deep nesting, millions of values)
/// costs no more memory than the tensors it really names.
class DirectoryReader : public nlohmann::json_sax<json> {
  public:
    DirectoryReader(safetensors_directory& directory, const std::string& operand)
        : directory_(directory), operand_(operand) {}

    bool start_object(std::size_t /*elements*/) override {
        if (where_ == place::file) {
            where_ = place::directory;
        } else if (where_ == place::tensor_value) {
            where_ = place::tensor;
            field_.clear();
            entry_ = {};
            seen_dtype_ = seen_shape_ = seen_offsets_ = false;
        } else if (where_ == place::metadata_value) {
            where_ = place::metadata;
        } else {
            malformed("an object stands in the wrong place");
        }
        return true;
    }

    bool end_object() override {
        if (where_ == place::tensor) {
            if (!seen_dtype_ || !seen_shape_ || !seen_offsets_)
                malformed("tensor '" + printable(name_, 60) +
                          "' lacks dtype, shape or data_offsets");
            directory_.tensors.emplace(name_, std::move(entry_));
            where_ = place::directory;
        } else if (where_ == place::metadata) {
            where_ = place::directory;
        } else {
            where_ = place::end;
        }
        return true;
    }

    bool key(string_t& text) override {
        if (where_ == place::directory) {
            name_ = text;
            if (directory_.tensors.contains(name_) || (name_ == "__metadata__" && seen_metadata_))
                malformed("tensor '" + printable(name_, 60) + "' comes twice");
            where_ = name_ == "__metadata__" ? place::metadata_value : place::tensor_value;
            seen_metadata_ = seen_metadata_ || name_ == "__metadata__";
        } else if (where_ == place::tensor) {
            field_ = text;
            bool& seen = field_ == "dtype"          ? seen_dtype_
                         : field_ == "shape"        ? seen_shape_
                         : field_ == "data_offsets" ? seen_offsets_
                                                    : unknown_field_;
            if (seen || &seen == &unknown_field_)
                malformed("key '" + printable(field_, 40) + "' of tensor '" + printable(name_, 60) +
                          "' is unknown or comes twice");
            seen = true;
        }
        return true;
    }

    bool start_array(std::size_t /*elements*/) override {
        if (where_ != place::tensor || (field_ != "shape" && field_ != "data_offsets"))
            malformed("a list stands in the wrong place");
        where_ = place::list;
        list_.clear();
        return true;
    }

    bool end_array() override {
        where_ = place::tensor;
        if (field_ == "shape") {
            entry_.shape = list_;
        } else {
            if (list_.size() != 2)
                malformed("data_offsets of tensor '" + printable(name_, 60) +
                          "' are not two numbers");
            entry_.begin = list_[0];
            entry_.end = list_[1];
        }
        return true;
    }

    bool number_unsigned(number_unsigned_t value) override {
        if (where_ != place::list) malformed("a number stands in the wrong place");
        if (value > static_cast<number_unsigned_t>(std::numeric_limits<std::int64_t>::max()))
            malformed("tensor '" + printable(name_, 60) + "' has a number in its " + field_ +
                      " that overflows");
        if (list_.size() == most_axes)
            malformed("tensor '" + printable(name_, 60) + "' has more than " +
                      std::to_string(most_axes) + " numbers in its " + field_);
        list_.push_back(static_cast<std::int64_t>(value));
        return true;
    }

    bool string(string_t& text) override {
        if (where_ == place::metadata) return true;
        if (where_ != place::tensor || field_ != "dtype")
            malformed("a string stands in the wrong place");
        entry_.dtype = text;
        return true;
    }

    bool number_integer(number_integer_t value) override {
        malformed("the number " + std::to_string(value) + " is negative");
    }
    bool number_float(number_float_t /*value*/, const string_t& text) override {
        malformed("the number " + printable(text, 40) + " is not an integer or overflows");
    }
    bool null() override { malformed("it holds a null"); }
    bool boolean(bool /*value*/) override { malformed("it holds a boolean"); }
    bool binary(binary_t& /*value*/) override { malformed("it holds binary data"); }
    bool parse_error(std::size_t position, const std::string& /*token*/,
                     const nlohmann::detail::exception& /*error*/) override {
        malformed("it is not JSON at byte " + std::to_string(position));
    }

  private:
    enum class place : std::uint8_t {
        file,
        directory,
        tensor_value,
        tensor,
        list,
        metadata_value,
        metadata,
        end,
    };

    [[noreturn]] void malformed(const std::string& what) const {
        bad_input(operand_, "the safetensors header is malformed: " + what);
    }

    safetensors_directory& directory_;
    const std::string& operand_;
    place where_ = place::file;
    std::string name_;
    std::string field_;
    safetensors_directory::entry entry_;
    std::vector<std::int64_t> list_;
    bool seen_dtype_ = false;
    bool seen_shape_ = false;
    bool seen_offsets_ = false;
    bool seen_metadata_ = false;
    bool unknown_field_ = false;
};

constexpr std::pair<std::string_view, data_type> float_types[] = {
    {"F16", data_type::f16},
    {"BF16", data_type::bf16},
    {"F32", data_type::f32},
    {"F64", data_type::f64},
};

void check_cover(const safetensors_directory& directory, std::int64_t data_bytes,
                 const std::string& operand) {
    using entry = safetensors_directory::entry;
    std::vector<std::pair<const std::string*, const entry*>> sorted;
    for (const auto& [name, tensor] : directory.tensors) {
        const std::string shown = "tensor '" + printable(name, 60) + "'";
        if (tensor.begin > tensor.end)
            bad_input(operand, shown + " ends before it begins (data_offsets " +
                                   std::to_string(tensor.begin) + ", " +
                                   std::to_string(tensor.end) + ")");
        if (tensor.end > data_bytes)
            bad_input(operand, "the file is truncated: " + shown + " ends at byte " +
                                   std::to_string(tensor.end) + " of the data, but only " +
                                   std::to_string(data_bytes) + " are there");
        sorted.emplace_back(&name, &tensor);
    }
    std::ranges::sort(sorted, [](const auto& a, const auto& b) {
        return std::pair(a.second->begin, a.second->end) <
               std::pair(b.second->begin, b.second->end);
    });
    std::int64_t at = 0;
    for (const auto& [name, tensor] : sorted) {
        if (tensor->begin != at)
            bad_input(operand, "tensor '" + printable(*name, 60) + "' begins at byte " +
                                   std::to_string(tensor->begin) + " of the data, expected " +
                                   std::to_string(at) +
                                   (tensor->begin < at ? " (tensors overlap)" : " (a hole)"));
        at = tensor->end;
    }
    if (at != data_bytes)
        bad_input(operand, std::to_string(data_bytes - at) + " bytes follow the last tensor");
}

} // namespace

safetensors_directory parse_safetensors(std::span<const std::byte> file,
                                        const std::string& operand) {
    constexpr std::int64_t preamble = 8;
    const auto file_bytes = static_cast<std::int64_t>(file.size());
    if (file_bytes < preamble + 2)
        bad_input(operand, "the file has " + std::to_string(file_bytes) +
                               " bytes, too few for a safetensors header");
    std::uint64_t length = 0;
    std::memcpy(&length, file.data(), preamble);
    if (std::cmp_greater(length, file_bytes - preamble))
        bad_input(operand, "the file is truncated or no safetensors file: its header claims " +
                               std::to_string(length) + " bytes, but the file ends after " +
                               std::to_string(file_bytes));
    if (length > longest_header)
        bad_input(operand, "the safetensors header claims " + std::to_string(length) +
                               " bytes, expected at most " + std::to_string(longest_header));
    const std::string_view text(reinterpret_cast<const char*>(file.data()) + preamble, length);
    if (!text.starts_with('{'))
        bad_input(operand, "the file does not begin as .safetensors files do");

    safetensors_directory directory;
    directory.data_offset = preamble + static_cast<std::int64_t>(length);
    DirectoryReader reader(directory, operand);
    json::sax_parse(text.begin(), text.end(), &reader);
    check_cover(directory, file_bytes - directory.data_offset, operand);
    return directory;
}

array_layout find_tensor(const safetensors_directory& directory, const std::string& name,
                         const std::string& operand) {
    const auto found = directory.tensors.find(name);
    if (found == directory.tensors.end()) {
        std::string names;
        for (const auto& [other, tensor] : directory.tensors)
            if (names.size() < 100) names += (names.empty() ? "" : ", ") + printable(other, 40);
        bad_input(operand, "the file has no tensor '" + name + "'; it has " +
                               (names.empty() ? "none" : names));
    }
    const auto& tensor = found->second;
    const auto* type = std::ranges::find_if(
        float_types, [&](const auto& candidate) { return candidate.first == tensor.dtype; });
    if (type == std::end(float_types))
        bad_input(operand, "the tensor holds " + printable(tensor.dtype, 40) +
                               ", expected F16, BF16, F32 or F64");
    array_layout layout;
    layout.type = type->second;
    layout.shape = tensor.shape;
    layout.offset = directory.data_offset + tensor.begin;
    layout.bytes = tensor.end - tensor.begin;
    const auto bytes = array_bytes(layout.type, layout.shape);
    if (!bytes) bad_input(operand, "the shape " + text_of(layout.shape) + " overflows");
    if (*bytes != layout.bytes)
        bad_input(operand, "the shape " + text_of(layout.shape) + " takes " +
                               std::to_string(*bytes) + " bytes of data, but data_offsets give " +
                               std::to_string(layout.bytes));
    return layout;
}

std::string safetensors_header(const std::string& name, data_type type,
                               std::span<const std::int64_t> shape) {
    const auto* dtype =
        std::ranges::find_if(float_types, [&](const auto& one) { return one.second == type; });
    const json header = {{name,
                          {{"dtype", dtype->first},
                           {"shape", std::vector<std::int64_t>(shape.begin(), shape.end())},
                           {"data_offsets", {0, array_bytes(type, shape).value()}}}}};
    std::string text = header.dump();
    text.resize((8 + text.size() + 63) / 64 * 64 - 8, ' ');
    std::string out(8, '\0');
    const auto length = static_cast<std::uint64_t>(text.size());
    std::memcpy(out.data(), &length, out.size());
    return out + text;
}

} // namespace cqsa::files
