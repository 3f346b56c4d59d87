// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace cqsa::bench {

/// A table for people: right-aligned columns, printed row by row as they come.
class Table {
  public:
    struct column {
        std::string title;
        int width;
    };
    Table(std::FILE* out, std::vector<column> columns);
    /// One text per column; empty where there is nothing to say.
    void row(const std::vector<std::string>& cells) const;

  private:
    std::FILE* out_;
    std::vector<column> columns_;
};

/// "12.3" with the decimals wanted, or "-" for nothing.
std::string number(std::optional<double> value, int decimals);

/// Processor, its threads, and the version of this program's format: what every report begins with.
nlohmann::json machine();

/// Writes a report to FILE, or to stdout for "-".
void write_json(const std::string& file, const nlohmann::json& report);

} // namespace cqsa::bench
