// SPDX-License-Identifier: Apache-2.0
// Input that is not what was promised: exit code, one sentence, and nothing on disk touched.
#include "process.hpp"
#include "runtime/environment.hpp"
#include "runtime/files/array_file.hpp"
#include "runtime/files/npy_header.hpp"
#include "tests/files/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>

namespace cqsa::test {
namespace {

using shape_type = std::vector<std::int64_t>;

void write_array(const std::string& path, const shape_type& shape, data_type type = data_type::f32,
                 const std::string& name = "q") {
    files::create_array(path, "--out", name, type, shape).file.commit();
}

/// A NumPy file of f32 zeros whose header was changed afterwards.
void write_changed(const std::string& path, const shape_type& shape, const std::string& from,
                   const std::string& to) {
    std::string text = files::npy_header(data_type::f32, shape);
    const std::size_t at = text.find(from);
    text.replace(at, from.size(), to);
    // The header keeps its length: spaces stand before its line's end.
    if (to.size() > from.size())
        text.erase(text.size() - 1 - (to.size() - from.size()), to.size() - from.size());
    else
        text.insert(text.size() - 1, from.size() - to.size(), ' ');
    const auto bytes = static_cast<std::size_t>(files::array_bytes(data_type::f32, shape).value());
    write_file(path, text + std::string(bytes, '\0'));
}

class BadInvocations : public ::testing::Test {
  protected:
    BadInvocations() {
        write_array(file("q.npy"), {1, 4, 96, 16});
        write_array(file("k.npy"), {1, 4, 80, 16});
        write_array(file("q64.npy"), {1, 4, 96, 16}, data_type::f64);
        write_array(file("q3.npy"), {4, 96, 16});
        write_array(file("batch.npy"), {2, 4, 80, 16});
        write_array(file("heads.npy"), {1, 3, 80, 16});
        write_array(file("none.npy"), {1, 0, 80, 16});
        write_array(file("dim.npy"), {1, 4, 80, 8});
        write_array(file("wide.npy"), {1, 1, 4, 257});
        write_array(file("flat.npy"), {80});
        write_array(file("five.npy"), {1, 1, 4, 80, 16});
        write_array(file("only_q.safetensors"), {1, 4, 80, 16});
        write_changed(file("fortran.npy"), {1, 4, 96, 16}, "False", "True");
        write_changed(file("big_endian.npy"), {1, 4, 96, 16}, "<f4", ">f4");
        write_changed(file("integers.npy"), {1, 4, 96, 16}, "<f4", "<i4");
        write_changed(file("complex.npy"), {1, 4, 96, 16}, "<f4", "<c8");
        write_changed(file("void.npy"), {1, 4, 96, 16}, "<f4", "|V2");
        write_changed(file("negative.npy"), {1, 4, 96, 16}, "96", "-96");
        write_changed(file("huge.npy"), {1, 4, 96, 16}, "96", "4611686018427387904");
        write_changed(file("longer.npy"), {1, 4, 96, 16}, "96", "97");
        write_file(file("empty.npy"), "");
        write_file(file("text.npy"), "this is no array at all, but a text");
        write_file(file("cut.npy"), read_file(file("q.npy")).substr(0, 1000));
        write_file(file("cut_header.npy"), read_file(file("q.npy")).substr(0, 50));
        write_file(file("bomb.safetensors"),
                   std::string("\x00\x10\0\0\0\0\0\0", 8) + "{\"q\":" + std::string(8192, '['));
        write_file(file("lie.safetensors"), std::string(8, '\xff') + "{}");
        write_file(file("old.npy"), "old");
        std::filesystem::create_symlink("q.npy", file("link.npy"));
        std::filesystem::create_directory(file("folder.npy"));
        std::filesystem::create_hard_link(file("q.npy"), file("same_as_q.npy"));
    }

    [[nodiscard]] std::string file(const std::string& name) const { return folder_.file(name); }

    /// Runs the line, where @name stands for a file of the folder, and checks everything.
    void refuse(int code, const std::string& line, const std::vector<std::string>& parts) {
        SCOPED_TRACE(line);
        std::vector<std::string> arguments = words(line);
        for (std::string& word : arguments)
            if (word.starts_with('@')) word = file(word.substr(1));
        const auto before = contents();

        const process_result result = run_tool(arguments);

        EXPECT_EQ(result.code, code) << result.err;
        EXPECT_EQ(result.out, "");
        EXPECT_TRUE(result.err.starts_with("cqsa: ")) << result.err;
        EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
        EXPECT_TRUE(result.err.ends_with(".\n")) << result.err;
        for (const std::string& part : parts)
            EXPECT_NE(result.err.find(part), std::string::npos) << result.err << part;
        EXPECT_EQ(contents(), before);
    }

  private:
    [[nodiscard]] std::map<std::string, std::string> contents() const {
        std::map<std::string, std::string> out;
        for (const std::string& name : folder_.names())
            out[name] = std::filesystem::is_directory(file(name)) ? "" : read_file(file(name));
        return out;
    }

    TemporaryFolder folder_;
};

TEST_F(BadInvocations, usage) {
    refuse(2, "", {"expected a command"});
    refuse(2, "attend --random 1,4,96,16 --colour red", {"unknown option --colour"});
    refuse(2, "attend --random 1,4,96", {"--random: expected four numbers"});
    refuse(2, "attend --random 1,4,96,16 --device-memory 1XiB",
           {"--device-memory: expected a size"});
    refuse(2, "attend --random 1,4,96,300", {"expected a head_dim from 1 to 256, but it is 300"});
    refuse(2, "attend --random 1,4,96,16 --kv-heads 3", {"--random", "divide the 4 query heads"});
    refuse(2, "attend --random 1e9,1e9,1e9,16", {"overflows"});
    refuse(2, "attend --random 1,4,96,16 --dtype f64 --out-dtype f32",
           {"--out-dtype: expected f64"});
    refuse(2, "attend --random 1,4,96,16 --out-dtype f16", {"expected f32"});
    refuse(2, "attend --q @q.npy --k @k.npy --v @k.npy", {"something to do with the result"});
}

TEST_F(BadInvocations, files_that_are_no_arrays) {
    const auto refuse_q = [&](const std::string& name, const std::vector<std::string>& parts) {
        std::vector<std::string> all = parts;
        all.push_back("q (" + file(name) + "): ");
        refuse(3, "attend --q @" + name + " --k @k.npy --v @k.npy --out @old.npy", all);
    };
    refuse_q("missing.npy", {"no such file"});
    refuse_q("folder.npy", {"folder"});
    refuse_q("empty.npy", {"is empty"});
    refuse_q("text.npy", {"does not begin as NumPy's"});
    refuse_q("cut.npy", {"truncated"});
    refuse_q("cut_header.npy", {"claims"});
    refuse_q("longer.npy", {"truncated"});
    refuse_q("fortran.npy", {"Fortran order"});
    refuse_q("big_endian.npy", {"big-endian"});
    refuse_q("integers.npy", {"integers"});
    refuse_q("complex.npy", {"complex"});
    refuse_q("void.npy", {"say --dtype bf16"});
    refuse_q("negative.npy", {"negative extent -96"});
    refuse_q("huge.npy", {"overflows"});
    refuse_q("flat.npy", {"has 1 axis"});
    refuse_q("five.npy", {"has 5 axes"});
    refuse_q("only_q.safetensors", {"give it as --input"});
    refuse(3, "attend --input @missing.safetensors --out @old.npy", {"no such file"});
    refuse(3, "attend --input @only_q.safetensors --out @old.npy", {"has no tensor 'k'"});
    refuse(3, "attend --input @bomb.safetensors --out @old.npy", {"malformed"});
    refuse(3, "attend --input @lie.safetensors --out @old.npy", {"claims 18446744073709551615"});
    refuse(3, "attend --input @q.npy --out @old.npy", {"this is a NumPy file"});
    refuse(3, "plan --q @cut.npy --k @k.npy --v @k.npy", {"truncated"});
}

TEST_F(BadInvocations, shapes_and_types_that_disagree) {
    const auto refuse_kv = [&](const std::string& k, const std::string& v,
                               const std::vector<std::string>& parts) {
        refuse(3, "attend --q @q.npy --k @" + k + " --v @" + v + " --out @old.npy", parts);
    };
    refuse_kv("batch.npy", "batch.npy",
              {"k (", "expected batch 1 and head_dim 16", "(2, 4, 80, 16)"});
    refuse_kv("dim.npy", "dim.npy", {"k (", "expected batch 1 and head_dim 16", "(1, 4, 80, 8)"});
    refuse_kv("heads.npy", "heads.npy", {"k (", "divide the 4 query heads, but there are 3"});
    refuse_kv("none.npy", "none.npy", {"k (", "divide the 4 query heads, but there are 0"});
    refuse_kv("k.npy", "q.npy",
              {"v (", "expected the shape of k, (1, 4, 80, 16)", "(1, 4, 96, 16)"});
    refuse_kv("q64.npy", "q64.npy", {"k (", "expected the type of q, f32, but it holds f64"});
    refuse_kv("q3.npy", "q3.npy", {"k (", "expected 4 axes as q has"});
    refuse(3, "attend --q @wide.npy --k @wide.npy --v @wide.npy --out @old.npy",
           {"expected a head_dim from 1 to 256, but it is 257"});
    refuse(3, "attend --q @q.npy --k @k.npy --v @k.npy --dtype f16 --out @old.npy",
           {"q (", "holds f32, but --dtype says f16"});
}

TEST_F(BadInvocations, outputs_that_cannot_be) {
    const auto refuse_out = [&](int code, const std::string& options,
                                const std::vector<std::string>& parts) {
        refuse(code, "attend --q @q.npy --k @k.npy --v @k.npy " + options, parts);
    };
    refuse_out(2, "--out @o.bin", {"--out ", "must end in .npy or .safetensors"});
    refuse_out(2, "--out @link.npy", {"--out ", "is the same file as the input q"});
    refuse_out(2, "--out @folder.npy", {"--out ", "folder"});
    refuse_out(2, "--out @q.npy", {"--out ", "is the same file as the input q"});
    refuse_out(2, "--out @same_as_q.npy", {"--out ", "is the same file as the input q"});
    refuse_out(2, "--lse @k.npy", {"--lse ", "is the same file as the input k"});
    refuse_out(2, "--out @old.npy --lse @old.npy", {"--lse ", "is the same file as --out"});
    refuse_out(2, "--out @old.npy --json @old.npy", {"--json ", "is the same file as --out"});
    refuse_out(1, "--out @missing/o.npy", {"--out ", "no such file or directory"});
    refuse_out(1, "--out /proc/o.npy", {"--out ", "no file can be created"});
    refuse_out(1, "--out @old.npy --lse @missing/lse.npy", {"--lse ", "no such file or directory"});
    refuse_out(1, "--out @old.npy --json @missing/x.json",
               {"--json ", "no such file or directory"});
    refuse_out(2, "--out @old.npy --json /dev/full", {"--json ", "regular file"});
    refuse(2, "attend --random 1,4,96,16 --dtype bf16 --out @old.npy", {"cannot hold bf16"});
    refuse(2, "attend --random 1,4,96,16 --out @link.npy", {"--out ", "symbolic link"});
}

TEST_F(BadInvocations, runs_that_do_not_fit) {
    refuse(4, "attend --random 1,8,1e10,64", {"take 74.5 TiB of main memory", "available"});
    refuse(4, "attend --random 1,8,1e10,64 --out @old.npy", {"of main memory"});
}

TEST_F(BadInvocations, a_gpu_where_there_is_none) {
    ScopedEnvironment environment;
    environment.set("CUDA_VISIBLE_DEVICES", "");
    refuse(5, "attend --q @q.npy --k @k.npy --v @k.npy --out @old.npy --workers cuda",
           {"--workers: expected at least one GPU, but there is none"});
}

TEST_F(BadInvocations, no_room_on_the_disk_is_found_before_computing) {
    const std::string line = "ulimit -f 1; exec \"$0\" attend --q " + file("q.npy") + " --k " +
                             file("k.npy") + " --v " + file("k.npy") + " --out " + file("old.npy");

    const process_result result = Process("/bin/sh", {"-c", line, tool_path()}).finish();

    EXPECT_EQ(result.code, 1);
    EXPECT_NE(result.err.find("no room for its"), std::string::npos) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_EQ(read_file(file("old.npy")), "old");
}

} // namespace
} // namespace cqsa::test
