// SPDX-License-Identifier: Apache-2.0
// What users see and what is left on disk when a run fails half way.
#include "process.hpp"
#include "runtime/files/array_file.hpp"
#include "tests/files/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>

namespace cqsa::test {
namespace {

std::vector<std::string> with_fault(const std::string& fault) {
    return {"CQSA_TEST_FAULT=" + fault};
}

// Now and then ThreadSanitizer keeps a signal from outside for itself.
#ifdef __has_feature
constexpr bool signals_arrive = !__has_feature(thread_sanitizer);
#else
constexpr bool signals_arrive = true;
#endif

std::vector<std::string> arguments(const TemporaryFolder& folder) {
    return {"attend", "--random", "1,2,64,8",           "--verify", "8",
            "-v",     "--out",    folder.file("o.npy"), "--lse",    folder.file("lse.npy")};
}

/// Both outputs stand as they were and nothing is beside them.
void expect_untouched(const TemporaryFolder& folder) {
    EXPECT_EQ(read_file(folder.file("o.npy")), "old");
    EXPECT_FALSE(std::filesystem::exists(folder.file("lse.npy")));
    EXPECT_EQ(folder.names().size(), 1U);
}

/// The last line of stderr is one sentence of the tool.
std::string last_line(const process_result& result) {
    EXPECT_TRUE(result.err.ends_with(".\n")) << result.err;
    const std::size_t begin = result.err.find_last_of('\n', result.err.size() - 2);
    return result.err.substr(begin == std::string::npos ? 0 : begin + 1);
}

process_result run_faulty(const TemporaryFolder& folder, const std::string& fault) {
    write_file(folder.file("o.npy"), "old");
    return Process(faulty_tool_path(), arguments(folder), with_fault(fault)).finish();
}

TEST(failure, wrong_results_are_not_written) {
    const TemporaryFolder folder;

    const process_result result = run_faulty(folder, "wrong");

    EXPECT_EQ(result.code, 6) << result.err;
    EXPECT_NE(last_line(result).find("cqsa: verification failed: 8 rows"), std::string::npos);
    expect_untouched(folder);
}

TEST(failure, a_trace_that_cannot_be_kept_is_named_by_its_option) {
    const TemporaryFolder folder;
    write_file(folder.file("file"), "");
    const std::string trace = folder.file("file") + "/trace";

    const process_result result =
        run_tool({"attend", "--random", "1,1,64,8", "--verify", "8", "--trace", trace});

    EXPECT_EQ(result.code, 1);
    EXPECT_EQ(last_line(result), "cqsa: --trace: " + trace + " cannot be made: Not a directory.\n");
}

TEST(failure, errors_of_the_library_become_exit_codes) {
    for (const auto& [fault, code, sentence] :
         {std::tuple{"device", 5, "cqsa: the device was lost.\n"},
          std::tuple{"crash", 1, "cqsa: nobody expected this.\n"}}) {
        const TemporaryFolder folder;

        const process_result result = run_faulty(folder, fault);

        EXPECT_EQ(result.code, code);
        EXPECT_EQ(last_line(result), sentence);
        expect_untouched(folder);
    }
}

TEST(failure, a_signal_stops_the_run_and_removes_the_temporaries) {
    if (!signals_arrive) GTEST_SKIP() << "ThreadSanitizer holds signals back.";
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
        const TemporaryFolder folder;
        write_file(folder.file("o.npy"), "old");
        Process process(faulty_tool_path(), arguments(folder), with_fault("slow"), true);
        ASSERT_TRUE(process.wait_for(" %"));
        EXPECT_EQ(folder.names().size(), 3U); // old, and two temporaries

        process.signal(number);
        const process_result result = process.finish();

        EXPECT_EQ(result.code, 128 + number);
        EXPECT_NE(result.err.find("cqsa: stopped on request"), std::string::npos);
        expect_untouched(folder);
    }
}

TEST(failure, a_signal_at_the_last_task_is_not_lost) {
    const TemporaryFolder folder;
    const process_result result = run_faulty(folder, "late");

    EXPECT_EQ(result.code, 128 + SIGINT);
    EXPECT_NE(result.err.find("cqsa: stopped on request"), std::string::npos);
    expect_untouched(folder);
}

TEST(failure, a_second_signal_ends_a_run_that_does_not_listen) {
    if (!signals_arrive) GTEST_SKIP() << "ThreadSanitizer holds signals back.";
    const TemporaryFolder folder;
    write_file(folder.file("o.npy"), "old");
    Process process(faulty_tool_path(), arguments(folder), with_fault("deaf"), true);
    ASSERT_TRUE(process.wait_for("0.1 %"));

    process.signal(SIGINT);
    ASSERT_TRUE(process.wait_for("0.5 %")); // still running
    process.signal(SIGTERM);
    const process_result result = process.finish();

    EXPECT_EQ(result.code, 128 + SIGTERM);
    expect_untouched(folder);
}

TEST(failure, an_input_that_shrinks_during_the_run_gives_a_sentence) {
    const TemporaryFolder folder;
    files::create_array(folder.file("x.npy"), "--out", "q", data_type::f32,
                        std::vector<std::int64_t>{1, 1000, 64})
        .file.commit();
    write_file(folder.file("o.npy"), "old");
    const std::string x = folder.file("x.npy");
    Process process(faulty_tool_path(),
                    {"attend", "--q", x, "--k", x, "--v", x, "--out", folder.file("o.npy")},
                    with_fault("reader"), true);
    ASSERT_TRUE(process.wait_for(" %"));

    std::filesystem::resize_file(x, 1000);
    const process_result result = process.finish();

    EXPECT_EQ(result.code, 3);
    EXPECT_NE(result.err.find("cqsa: a mapped file could not be read"), std::string::npos);
    EXPECT_EQ(read_file(folder.file("o.npy")), "old");
    EXPECT_EQ(folder.names().size(), 2U);
}

TEST(failure, progress_is_for_terminals) {
    const TemporaryFolder folder;
    Process quiet(faulty_tool_path(), words("attend --random 1,2,64,8 -q"), with_fault("slow"),
                  true);
    Process piped(faulty_tool_path(), words("attend --random 1,2,64,8"), with_fault("slow"));
    Process shown(faulty_tool_path(), words("attend --random 1,2,64,8"), with_fault("slow"), true);
    ASSERT_TRUE(shown.wait_for("0.1 %"));
    ASSERT_TRUE(piped.wait_for("plan "));
    for (Process* process : {&quiet, &piped, &shown})
        process->signal(SIGTERM);

    const process_result on_terminal = shown.finish();
    EXPECT_NE(on_terminal.err.find("left"), std::string::npos);
    EXPECT_NE(on_terminal.err.find('\r'), std::string::npos);
    EXPECT_EQ(piped.finish().err.find(" %"), std::string::npos);
    EXPECT_EQ(quiet.finish().err.find(" %"), std::string::npos);
}

TEST(failure, a_reader_that_leaves_is_no_drama) {
    const TemporaryFolder folder;
    const process_result result =
        Process("/bin/sh", {"-c", "\"$0\" attend --help-all | head -n 1", tool_path()}).finish();

    EXPECT_EQ(result.err, "");
}

TEST(failure, streams_that_take_nothing_do_not_spoil_a_run) {
    const TemporaryFolder folder;
    const auto attend_with = [&](const std::string& redirections) {
        const std::string name = folder.file("o.npy");
        const std::string line =
            "exec \"$0\" attend --random 1,2,64,8 -v --out " + name + redirections;
        EXPECT_EQ(Process("/bin/sh", {"-c", line, tool_path()}).finish().code, 0) << redirections;
        const std::string contents = read_file(name);
        std::filesystem::remove(name);
        return contents;
    };
    const std::string expected = attend_with("");
    EXPECT_EQ(expected.size(), 128 + sizeof(float) * 2 * 64 * 8);

    for (const std::string redirections : {" 2>&-", " <&- >&- 2>&-", " 2>/dev/full"})
        EXPECT_TRUE(attend_with(redirections) == expected) << redirections;
}

TEST(failure, a_closed_stdout_is_noticed) {
    const process_result result =
        Process("/bin/sh", {"-c", "\"$0\" --help >&-", tool_path()}).finish();

    EXPECT_EQ(result.code, 1);
    EXPECT_NE(result.err.find("cqsa: stdout: the text cannot be written"), std::string::npos);
}

TEST(failure, a_full_stdout_is_noticed) {
    const process_result result =
        Process("/bin/sh", {"-c", "\"$0\" --help > /dev/full", tool_path()}).finish();

    EXPECT_EQ(result.code, 1);
    EXPECT_NE(result.err.find("cqsa: stdout: the text cannot be written: no space left"),
              std::string::npos);
}

} // namespace
} // namespace cqsa::test
