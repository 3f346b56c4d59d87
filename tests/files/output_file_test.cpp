// SPDX-License-Identifier: Apache-2.0
#include "runtime/files/output_file.hpp"

#include "expect_error.hpp"
#include "temporary_folder.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace cqsa::files {
namespace {

using test::expect_error;
using test::read_file;
using test::TemporaryFolder;
using test::write_file;

void put(OutputFile& file, const std::string& text) {
    std::memcpy(file.bytes().data(), text.data(), text.size());
}

TEST(output_file, appears_only_when_committed) {
    const TemporaryFolder folder;
    const std::string path = folder.file("o.npy");

    OutputFile file(path, 5, "--out");
    put(file, "hello");
    const bool before = std::filesystem::exists(path);
    file.commit();

    EXPECT_FALSE(before);
    EXPECT_EQ(read_file(path), "hello");
    EXPECT_EQ(folder.names().size(), 1U);
}

TEST(output_file, an_existing_file_survives_unless_committed) {
    const TemporaryFolder folder;
    const std::string path = folder.file("o.npy");
    write_file(path, "old");
    ::chmod(path.c_str(), 0640);
    {
        OutputFile file(path, 5, "--out");
        put(file, "hello");
        file.sync();
    }
    EXPECT_EQ(read_file(path), "old");
    EXPECT_EQ(folder.names().size(), 1U);

    OutputFile file(path, 5, "--out");
    put(file, "hello");
    file.commit();

    struct stat status {};
    ::stat(path.c_str(), &status);
    EXPECT_EQ(read_file(path), "hello");
    EXPECT_EQ(status.st_mode & 0777, 0640U);
}

TEST(output_file, an_empty_file_can_be_written) {
    const TemporaryFolder folder;

    OutputFile(folder.file("empty"), 0, "--out").commit();

    EXPECT_EQ(read_file(folder.file("empty")), "");
    EXPECT_TRUE(std::filesystem::exists(folder.file("empty")));
}

TEST(output_file, paths_that_are_no_files_are_refused) {
    const TemporaryFolder folder;
    std::filesystem::create_symlink("target", folder.file("link"));
    std::filesystem::create_directory(folder.file("sub"));
    const auto refuse = [&](error_code code, const std::string& path, const std::string& part) {
        expect_error(code, [&] { const OutputFile file(path, 10, "--out " + path); },
                     {"--out " + path + ": ", part});
    };
    refuse(error_code::usage, folder.file("link"), "symbolic link");
    refuse(error_code::usage, folder.file("sub"), "folder");
    refuse(error_code::usage, folder.file("sub") + "/", "expected the name of a file");
    refuse(error_code::usage, "/dev/full", "device");
    refuse(error_code::failure, folder.file("none/o.npy"), "no such file or directory");
    refuse(error_code::failure, folder.file(std::string(300, 'x')), "name too long");
    EXPECT_EQ(folder.names().size(), 2U);
}

TEST(output_file, missing_permissions_are_found) {
    const TemporaryFolder folder;
    ::chmod(folder.path().c_str(), 0755);
    std::filesystem::create_directory(folder.file("closed"));
    ::chmod(folder.file("closed").c_str(), 0500);
    std::filesystem::create_directory(folder.file("open"));
    ::chmod(folder.file("open").c_str(), 0777);
    write_file(folder.file("open/read_only"), "old");
    ::chmod(folder.file("open/read_only").c_str(), 0444);
    const uid_t user = ::geteuid();
    constexpr uid_t nobody = 65534; // root may write everywhere
    ASSERT_TRUE(user != 0 || ::seteuid(nobody) == 0);

    for (const std::string name : {"closed/o", "open/read_only"})
        expect_error(error_code::failure,
                     [&] { const OutputFile file(folder.file(name), 10, "--out"); },
                     {"--out: ", "permission denied"});

    ASSERT_TRUE(user != 0 || ::seteuid(user) == 0);
    EXPECT_EQ(read_file(folder.file("open/read_only")), "old");
}

TEST(output_file, no_room_is_found_at_once) {
    const TemporaryFolder folder;
    write_file(folder.file("o.npy"), "old");

    expect_error(
        error_code::failure,
        [&] { const OutputFile file(folder.file("o.npy"), std::int64_t{1} << 50U, "--out"); },
        {"no room for its 1125899906842624 bytes"});

    EXPECT_EQ(read_file(folder.file("o.npy")), "old");
    EXPECT_EQ(folder.names().size(), 1U);
}

TEST(output_file, paths_to_the_same_file_are_recognised) {
    const TemporaryFolder folder;
    std::filesystem::create_directory(folder.file("sub"));
    write_file(folder.file("a"), "");
    std::filesystem::create_hard_link(folder.file("a"), folder.file("b"));

    EXPECT_TRUE(same_output(folder.file("new"), folder.file("sub/../new")));
    EXPECT_TRUE(same_output(folder.file("a"), folder.file("b")));
    EXPECT_FALSE(same_output(folder.file("new"), folder.file("sub/new")));
    EXPECT_FALSE(same_output(folder.file("a"), folder.file("new")));
}

TEST(output_file, a_signal_handler_can_remove_the_temporaries) {
    const TemporaryFolder folder;
    const pid_t child = ::fork();
    if (child == 0) {
        const OutputFile out(folder.file("o.npy"), 10, "--out");
        const OutputFile lse(folder.file("lse.npy"), 10, "--lse");
        const bool there = folder.names().size() == 2;
        unlink_temporaries();
        ::_exit(there ? 0 : 1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);

    EXPECT_EQ(status, 0);
    EXPECT_TRUE(folder.names().empty());
}

} // namespace
} // namespace cqsa::files
