// SPDX-License-Identifier: Apache-2.0
#include "bench/report.hpp"

#include <fmt/format.h>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <thread>
#include <utility>

namespace cqsa::bench {

Table::Table(std::FILE* out, std::vector<column> columns)
    : out_(out), columns_(std::move(columns)) {
    std::vector<std::string> titles;
    titles.reserve(columns_.size());
    for (const column& c : columns_) {
        titles.push_back(c.title);
    }
    row(titles);
}

void Table::row(const std::vector<std::string>& cells) const {
    std::string line;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
        line += fmt::format("{:>{}}", cells[i], columns_[i].width);
    }
    fmt::print(out_, "{}\n", line);
    std::fflush(out_);
}

std::string number(std::optional<double> value, int decimals) {
    return value ? fmt::format("{:.{}f}", *value, decimals) : "-";
}

nlohmann::json machine() {
    std::ifstream info("/proc/cpuinfo");
    std::string processor = "unknown";
    for (std::string line; std::getline(info, line);) {
        if (line.starts_with("model name")) {
            processor = line.substr(line.find(':') + 2);
            break;
        }
    }
    return {{"schema", 1},
            {"processor", processor},
            {"hardware_threads", std::thread::hardware_concurrency()}};
}

void write_json(const std::string& file, const nlohmann::json& report) {
    if (file == "-") {
        std::cout << report.dump(2) << '\n';
        return;
    }
    std::ofstream out(file);
    out << report.dump(2) << '\n';
    if (!out.flush()) {
        throw std::runtime_error("the report could not be written to " + file);
    }
}

} // namespace cqsa::bench
