// SPDX-License-Identifier: Apache-2.0
// Defaults of the sanitizers, linked into every executable of their presets so that a run by hand
// and a run by ctest are the same. The environment's ASAN_OPTIONS, … still override them.

#include <cstdlib>

#define CQSA_SANITIZER_DEFAULT extern "C" __attribute__((visibility("default"))) const char*

CQSA_SANITIZER_DEFAULT __asan_default_options() {
    return "strict_string_checks=1:detect_stack_use_after_return=1:check_initialization_order=1";
}

CQSA_SANITIZER_DEFAULT __ubsan_default_options() {
    return "print_stacktrace=1";
}

// What libraries keep until the process ends.
CQSA_SANITIZER_DEFAULT __lsan_default_suppressions() {
    return "leak:libstarpu\n"
           "leak:libhwloc\n"
           "leak:libfxt\n";
}

// StarPU and the OpenMP runtime are not instrumented: their locks are seen, their memory is not.
// What OpenMP orders is told by libarcher, which LLVM's libomp loads by itself.
CQSA_SANITIZER_DEFAULT __tsan_default_options() {
    return "ignore_noninstrumented_modules=1:second_deadlock_stack=1:history_size=7";
}

// Archer asks for the same option in the environment, and warns on stderr when it is not there.
__attribute__((constructor)) static void tell_archer() {
    setenv("TSAN_OPTIONS", "ignore_noninstrumented_modules=1", 0);
}
