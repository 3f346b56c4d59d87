// SPDX-License-Identifier: Apache-2.0
// Copies an array file through our own reader and writer; interchange.py compares both ends.
//   files_interchange IN.npy|IN.safetensors OUT.npy|OUT.safetensors [DTYPE]
#include "runtime/files/array_file.hpp"

#include <cstdio>
#include <cstring>
#include <string>

int main(int argc, char** argv) {
    using namespace cqsa;
    using namespace cqsa::files;
    if (argc < 3) return 2;
    const std::string in = argv[1];
    try {
        const array_source source = in.ends_with(".safetensors")
                                        ? open_safetensors(in, {"q", "q", "q"})[0]
                                        : open_npy(in, "q");
        std::optional<data_type> type;
        if (argc > 3) type = data_type::bf16;
        const tensor view = view_of(source, axis_order::bhnd, type);
        array_sink sink = create_array(argv[2], "--out", "q", view.type, source.layout.shape);
        std::memcpy(sink.data, view.data, static_cast<std::size_t>(source.layout.bytes));
        sink.file.commit();
    } catch (const Error& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return static_cast<int>(error.code());
    }
    return 0;
}
