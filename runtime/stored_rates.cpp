// SPDX-License-Identifier: Apache-2.0
#include "runtime/stored_rates.hpp"

#include "codelets/cpu/isa.hpp"
#include "planner/error.hpp"
#include "runtime/cpu_team.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <tuple>
#include <unistd.h>
#include <utility>

namespace cqsa {
namespace {

using nlohmann::json;

constexpr int schema = 1;
// No file of ours comes near it.
constexpr std::uintmax_t most_bytes = 1 << 20;

// What is stored of the rates. The first two are of all processors and always positive.
constexpr std::array<std::pair<const char*, double rates::*>, 6> fields{{
    {"attend_flops_per_second", &rates::attend_flops_per_second},
    {"merge_bytes_per_second", &rates::merge_bytes_per_second},
    {"task_seconds", &rates::task_seconds},
    {"h2d_bytes_per_second", &rates::h2d_bytes_per_second},
    {"d2h_bytes_per_second", &rates::d2h_bytes_per_second},
    {"touch_bytes_per_second", &rates::touch_bytes_per_second},
}};

std::string cache_folder() {
    const char* cache = std::getenv("XDG_CACHE_HOME");
    // The specification has relative ones ignored.
    if (cache != nullptr && *cache == '/') return std::string(cache) + "/cqsa/rates";
    const char* home = std::getenv("HOME");
    if (home == nullptr || *home == '\0') return {};
    return std::string(home) + "/.cache/cqsa/rates";
}

std::string path_of(std::string_view processor) {
    const std::string folder = cache_folder();
    if (folder.empty()) return {};
    std::string name;
    for (const char c : processor) {
        const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0;
        if (plain) name += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        if (!plain && !name.empty() && name.back() != '-') name += '-';
    }
    return folder + "/" + name.substr(0, 200) + ".json";
}

data_type type_named(const std::string& name) {
    for (const auto type : {data_type::f16, data_type::bf16, data_type::f32, data_type::f64}) {
        if (name == name_of(type)) return type;
    }
    throw Error(error_code::bad_input, "no data type is called '" + name.substr(0, 20) + "'");
}

json json_of(const measured_rates& one) {
    json out{{"dtype", name_of(one.type)}, {"head_dim", one.head_dim}, {"threads", one.threads}};
    for (const auto& [name, field] : fields)
        out[name] = one.rates.*field;
    return out;
}

measured_rates rates_of(const json& object) {
    measured_rates one;
    one.type = type_named(object.at("dtype").get<std::string>());
    one.head_dim = object.at("head_dim").get<std::int64_t>();
    one.threads = object.at("threads").get<int>();
    for (const auto& [name, field] : fields)
        one.rates.*field = object.at(name).get<double>();
    const bool gpu = one.threads == 0;
    const rates& r = one.rates;
    const bool positive = r.attend_flops_per_second > 0 && r.merge_bytes_per_second > 0 &&
                          (!gpu || (r.h2d_bytes_per_second > 0 && r.d2h_bytes_per_second > 0));
    const bool sane = std::ranges::all_of(fields, [&](const auto& named) {
        const double value = r.*named.second;
        return std::isfinite(value) && value >= 0;
    });
    if (!positive || !sane || one.threads < 0 || one.head_dim < 1) {
        throw Error(error_code::bad_input, "a rate is not as it could have been measured");
    }
    return one;
}

std::vector<measured_rates> parse(const std::string& text, std::string_view processor) {
    const json file = json::parse(text);
    if (file.at("schema") != schema) throw Error(error_code::bad_input, "its schema is unknown");
    if (file.at("processor") != processor) {
        throw Error(error_code::bad_input, "it is of another processor");
    }
    std::vector<measured_rates> all;
    for (const json& one : file.at("rates"))
        all.push_back(rates_of(one));
    return all;
}

void write_file(const std::string& path, const std::string& text) {
    namespace fs = std::filesystem;
    const std::string beside = path + "." + std::to_string(getpid()) + ".tmp";
    std::error_code failure;
    fs::create_directories(fs::path(path).parent_path(), failure);
    if (!failure) {
        std::ofstream file(beside, std::ios::binary);
        file << text;
        file.close();
        if (!file) failure = std::make_error_code(std::errc::io_error);
    }
    if (!failure) fs::rename(beside, path, failure);
    if (!failure) return;
    std::error_code ignored;
    fs::remove(beside, ignored);
    throw Error(error_code::failure,
                "the rates cannot be stored in " + path + ": " + failure.message());
}

double distance(double a, double b) {
    return std::abs(std::log(a / b));
}

} // namespace

std::string cpu_identity() {
    return cpu_model() + " " + std::string(name_of(selected_isa()));
}

std::string gpu_identity(const gpu_facts& gpu, int count) {
    return std::to_string(count) + " x " + gpu.name;
}

stored_rates read_rates(std::string_view processor) {
    stored_rates found;
    found.path = path_of(processor);
    std::error_code failure;
    if (found.path.empty() || !std::filesystem::exists(found.path, failure)) return found;
    try {
        if (std::filesystem::file_size(found.path) > most_bytes) {
            throw Error(error_code::bad_input, "it is too large");
        }
        std::ifstream file(found.path, std::ios::binary);
        const std::string text{std::istreambuf_iterator<char>(file), {}};
        if (!file) throw Error(error_code::bad_input, "it cannot be read");
        found.rates = parse(text, processor);
    } catch (const json::exception&) {
        found.damage = "its text is not that of stored rates";
    } catch (const std::exception& error) {
        found.damage = error.what();
    }
    if (!found.damage.empty()) {
        found.damage = found.path + " is ignored: " + found.damage + "; cqsa calibrate replaces it";
    }
    return found;
}

std::string store_rates(std::string_view processor, const std::vector<measured_rates>& rates) {
    stored_rates stored = read_rates(processor);
    if (stored.path.empty()) {
        throw Error(error_code::failure,
                    "the rates cannot be stored: neither XDG_CACHE_HOME nor HOME is set");
    }
    const auto key = [](const measured_rates& one) {
        return std::tuple(one.type, one.head_dim, one.threads);
    };
    for (const measured_rates& one : rates) {
        std::erase_if(stored.rates, [&](const auto& old) { return key(old) == key(one); });
        stored.rates.push_back(one);
    }
    std::ranges::sort(stored.rates, {}, key);
    json all = json::array();
    for (const measured_rates& one : stored.rates)
        all.push_back(json_of(one));
    const json file{{"schema", schema}, {"processor", processor}, {"rates", all}};
    write_file(stored.path, file.dump(2, ' ', false, json::error_handler_t::replace) + "\n");
    return stored.path;
}

void use_stored_rates(rates& assumed, std::string_view processor, const problem& problem,
                      int threads) {
    const stored_rates stored = read_rates(processor);
    const measured_rates* nearest = nullptr;
    const auto far = [&](const measured_rates& one) {
        return std::pair(
            distance(static_cast<double>(problem.head_dim), static_cast<double>(one.head_dim)),
            threads > 0 ? distance(threads, one.threads) : 0.0);
    };
    for (const measured_rates& one : stored.rates) {
        const bool alike = one.type == problem.type && (one.threads > 0) == (threads > 0);
        if (alike && (nearest == nullptr || far(one) < far(*nearest))) nearest = &one;
    }
    if (nearest == nullptr) return;
    for (const auto& [name, field] : fields)
        assumed.*field = nearest->rates.*field;
    assumed.measured = true;
    if (threads > 0) {
        const double more = static_cast<double>(threads) / nearest->threads;
        assumed.attend_flops_per_second *= more;
        assumed.merge_bytes_per_second *= more;
    }
}

} // namespace cqsa
