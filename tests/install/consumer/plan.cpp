// SPDX-License-Identifier: Apache-2.0
// A user of the planner alone, which brings no StarPU with it.
#include "planner/difference_set.hpp"

#include <cstdio>

int main() {
    const auto set = cqsa::difference_set(13);
    std::printf("13 chunks: quorums of %zu\n", set.size());
    return set.size() == 4 ? 0 : 1;
}
