// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

namespace cqsa::test {

/// `path`, relative to the folder of the running program, where it is there, as in a bundle
/// (cmake/bundle.sh); otherwise `built`, its place beside the sources or in the build.
inline std::string beside_program(const std::string& path, const std::string& built) {
    const std::filesystem::path bundled =
        std::filesystem::read_symlink("/proc/self/exe").parent_path() / path;
    return std::filesystem::exists(bundled) ? bundled.string() : built;
}

} // namespace cqsa::test
