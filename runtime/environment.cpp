// SPDX-License-Identifier: Apache-2.0
#include "runtime/environment.hpp"

#include <cstdlib>

namespace cqsa {

ScopedEnvironment::~ScopedEnvironment() {
    for (auto entry = before_.rbegin(); entry != before_.rend(); ++entry) {
        if (entry->second) {
            setenv(entry->first.c_str(), entry->second->c_str(), 1);
        } else {
            unsetenv(entry->first.c_str());
        }
    }
}

void ScopedEnvironment::set_default(const std::string& name, const std::string& value) {
    if (std::getenv(name.c_str()) == nullptr) set(name, value);
}

void ScopedEnvironment::set(const std::string& name, const std::string& value) {
    const char* old = std::getenv(name.c_str());
    before_.emplace_back(name, old != nullptr ? std::optional<std::string>(old) : std::nullopt);
    setenv(name.c_str(), value.c_str(), 1);
}

std::optional<long> environment_number(const char* name) {
    const char* text = std::getenv(name);
    if (text == nullptr || *text == '\0') return std::nullopt;
    char* end = nullptr;
    const long value = std::strtol(text, &end, 10);
    if (*end != '\0') return std::nullopt;
    return value;
}

} // namespace cqsa
