// SPDX-License-Identifier: Apache-2.0
#include "runtime/files/npy_header.hpp"

#include "runtime/files/text.hpp"

#include <charconv>
#include <limits>
#include <optional>
#include <string_view>

namespace cqsa::files {
namespace {

constexpr std::string_view magic = "\x93NUMPY";
constexpr std::string_view blank = " \t\r\n";

/// Reads the one form of Python literal that a header has:
/// {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
class HeaderParser {
  public:
    HeaderParser(std::string_view text, const std::string& operand)
        : text_(text), operand_(operand) {}

    void parse() {
        expect('{');
        while (!accept('}')) {
            const std::string key = string();
            expect(':');
            if (key == "descr" && !descr) {
                if (peek() == '[') bad_input(operand_, "structured types are not arrays of floats");
                descr = string();
            } else if (key == "fortran_order" && !fortran_order) {
                fortran_order = boolean();
            } else if (key == "shape" && !shape) {
                shape = tuple();
            } else {
                malformed("its key '" + printable(key, 40) + "' is unknown or comes twice");
            }
            if (!accept(',')) {
                expect('}');
                break;
            }
        }
        if (text_.find_first_not_of(blank, at_) != std::string_view::npos)
            malformed("text follows the closing brace");
        if (!descr || !fortran_order || !shape)
            malformed("expected the keys descr, fortran_order and shape");
    }

    std::optional<std::string> descr;
    std::optional<bool> fortran_order;
    std::optional<std::vector<std::int64_t>> shape;

  private:
    [[noreturn]] void malformed(const std::string& what) const {
        bad_input(operand_, "the NumPy header is malformed: " + what);
    }

    char peek() {
        at_ = text_.find_first_not_of(blank, at_);
        if (at_ == std::string_view::npos) malformed("it ends too early");
        return text_[at_];
    }

    bool accept(char c) {
        if (peek() != c) return false;
        ++at_;
        return true;
    }

    void expect(char c) {
        if (!accept(c))
            malformed(std::string("expected '") + c + "' but '" + printable(text_.substr(at_, 1)) +
                      "' came");
    }

    std::string string() {
        const char quote = peek();
        if (quote != '\'' && quote != '"') malformed("expected a quoted string");
        const std::size_t end = text_.find(quote, at_ + 1);
        if (end == std::string_view::npos) malformed("a string has no end");
        const std::string_view out = text_.substr(at_ + 1, end - at_ - 1);
        at_ = end + 1;
        return std::string(out.substr(0, 256));
    }

    bool boolean() {
        peek();
        for (const std::string_view word : {"True", "False"})
            if (text_.substr(at_, word.size()) == word) {
                at_ += word.size();
                return word == "True";
            }
        malformed("fortran_order is neither True nor False");
    }

    std::vector<std::int64_t> tuple() {
        std::vector<std::int64_t> out;
        expect('(');
        while (!accept(')')) {
            if (out.size() == most_axes)
                bad_input(operand_,
                          "the shape has more than " + std::to_string(most_axes) + " axes");
            out.push_back(integer());
            if (!accept(',')) {
                expect(')');
                break;
            }
        }
        return out;
    }

    std::int64_t integer() {
        peek();
        std::int64_t value = 0;
        const char* first = text_.data() + at_;
        const auto [end, error] = std::from_chars(first, text_.data() + text_.size(), value);
        const std::string_view word = text_.substr(at_, static_cast<std::size_t>(end - first));
        if (error == std::errc::result_out_of_range)
            bad_input(operand_, "the extent " + printable(word, 24) + " in the shape overflows");
        if (error != std::errc()) malformed("the shape is not a tuple of integers");
        if (value < 0)
            bad_input(operand_, "the shape has the negative extent " + std::to_string(value));
        at_ += word.size();
        if (at_ < text_.size() && text_[at_] == 'L') ++at_; // written by Python 2
        return value;
    }

    std::string_view text_;
    const std::string& operand_;
    std::size_t at_ = 0;
};

void set_type(array_layout& layout, const std::string& descr, const std::string& operand) {
    const std::string shown = printable(descr, 40);
    const std::string expected = ", expected little-endian floats (f2, f4 or f8)";
    if (descr == "|V2" || descr == "<V2") {
        layout.type = data_type::bf16;
        layout.opaque = true;
        return;
    }
    const char order = descr.empty() ? '?' : descr[0];
    const std::string kind = descr.empty() ? "" : descr.substr(1);
    if (order == '>' && descr.size() > 1 &&
        std::string_view("fiucV").find(descr[1]) != std::string::npos)
        bad_input(operand, "the array is big-endian ('" + shown + "')" + expected);
    if ((order == '<' || order == '=') && (kind == "f2" || kind == "f4" || kind == "f8")) {
        layout.type = kind == "f2"   ? data_type::f16
                      : kind == "f4" ? data_type::f32
                                     : data_type::f64;
        return;
    }

    const char letter = kind.empty() ? '?' : kind[0];
    const std::string what = letter == 'i' || letter == 'u' ? "integers"
                             : letter == 'c'                ? "complex numbers"
                             : letter == 'O'                ? "Python objects"
                             : letter == 'b'                ? "booleans"
                                                            : "elements of an unsupported type";
    bad_input(operand, "the array holds " + what + " ('" + shown + "')" + expected);
}

} // namespace

bool is_npy(std::span<const std::byte> file) {
    return std::string_view(reinterpret_cast<const char*>(file.data()), file.size())
        .starts_with(magic);
}

array_layout parse_npy(std::span<const std::byte> file, const std::string& operand) {
    const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
    if (text.empty()) bad_input(operand, "the file is empty, expected a NumPy array");
    if (!text.starts_with(magic.substr(0, text.size())))
        bad_input(operand, "the file does not begin as NumPy's .npy files do");
    if (text.size() < 10) bad_input(operand, "the file is truncated inside the NumPy header");
    const auto byte = [&](std::size_t i) { return static_cast<std::size_t>(file[i]); };
    const std::size_t version = byte(6);
    if (version < 1 || version > 3 || byte(7) != 0)
        bad_input(operand, "the NumPy format version is " + std::to_string(version) + "." +
                               std::to_string(byte(7)) + ", expected 1.0, 2.0 or 3.0");
    std::size_t length = byte(8) | byte(9) << 8U;
    std::size_t begin = 10;
    if (version > 1) {
        if (text.size() < 12) bad_input(operand, "the file is truncated inside the NumPy header");
        length |= byte(10) << 16U | byte(11) << 24U;
        begin = 12;
    }
    if (length > text.size() - begin)
        bad_input(operand, "the NumPy header claims " + std::to_string(length) +
                               " bytes, but the file ends after " + std::to_string(text.size()));

    HeaderParser header(text.substr(begin, length), operand);
    header.parse();

    array_layout layout;
    set_type(layout, *header.descr, operand);
    layout.shape = *header.shape;
    if (*header.fortran_order)
        bad_input(operand, "the array is in Fortran order, expected C order "
                           "(save numpy.ascontiguousarray of it)");
    layout.offset = static_cast<std::int64_t>(begin + length);
    const auto bytes = array_bytes(layout.type, layout.shape);
    if (!bytes) bad_input(operand, "the shape " + text_of(layout.shape) + " overflows");
    layout.bytes = *bytes;
    const std::int64_t held = static_cast<std::int64_t>(file.size()) - layout.offset;
    if (layout.bytes > held)
        bad_input(operand, "the file is truncated: the shape " + text_of(layout.shape) + " takes " +
                               std::to_string(layout.bytes) + " bytes of data, but only " +
                               std::to_string(held) + " are there");
    return layout;
}

std::string npy_header(data_type type, std::span<const std::int64_t> shape) {
    std::string text =
        "{'descr': '<f" + std::to_string(bytes_of(type)) + "', 'fortran_order': False, 'shape': (";
    for (const std::int64_t extent : shape)
        text += std::to_string(extent) + ", ";
    if (shape.size() > 1) text.resize(text.size() - 2);
    text += "), }";
    constexpr std::size_t preamble = 10;
    const std::size_t total = (preamble + text.size() + 1 + 63) / 64 * 64;
    text.resize(total - preamble - 1, ' ');
    text += '\n';
    std::string out(magic);
    out += {'\x01', '\x00', static_cast<char>(text.size() & 0xffU),
            static_cast<char>(text.size() >> 8U)};
    return out + text;
}

} // namespace cqsa::files
