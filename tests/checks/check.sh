#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check.sh RULE BUILD: checks one rule about the sources; BUILD holds compile_commands.json.
# Exit 77: the tool that checks it is not installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

folders=(planner codelets runtime tests bench cmake .ci)

sources() { # sources EXTENSION…
    local extension
    for extension in "$@"; do
        find "${folders[@]}" -name "*.$extension"
    done | sort
}

need() { # need COMMAND
    command -v "$1" >/dev/null || {
        echo "$1 is not installed: run 'cmake/setup.sh install'."
        exit 77
    }
}

fail_if_any() { # fail_if_any SENTENCE: fails with the lines of stdin under the sentence
    local lines
    lines=$(cat)
    [[ -z $lines ]] || {
        printf '%s\n%s\n' "$1" "$lines"
        return 1
    }
}

format() {
    need clang-format-14
    sources hpp cpp cu cuh | xargs clang-format-14 --dry-run -Werror
}

once_each() { # once_each DATABASE: the first command of every file in compile_commands.json
    awk -v RS='\n},?\n' '
        split($0, part, "\"file\": \"") == 2 {
            sub(/".*/, "", part[2])
            if (!seen[part[2]]++) printf "%s%s\n}", comma, $0
            comma = ",\n"
        }
        END { print "\n]" }' "$1"
}

tidy() { # tidy BUILD
    local clang_tidy
    clang_tidy=$(cmake/clang_tidy.sh path)
    need "$clang_tidy"
    local once=$1/tidy
    mkdir -p "$once"
    once_each "$1/compile_commands.json" >"$once/compile_commands.json"
    local arguments=(-quiet -p "$once") warning
    for warning in no-unknown-warning-option no-deprecated-declarations reserved-identifier \
        reserved-macro-identifier zero-as-null-pointer-constant; do
        arguments+=("-extra-arg=-W$warning")
    done
    # GCC's omp.h, after all headers of Clang's own.
    arguments+=(-extra-arg=-idirafter "-extra-arg=$(dirname "$(g++ -print-file-name=include/omp.h)")")
    sed -nE 's|^ *"file": "(.*\.c(pp\|xx))".*|\1|p' "$once/compile_commands.json" |
        grep -v verify_interface_header_sets | sort |
        xargs -P "$(nproc)" -n 1 "$clang_tidy" "${arguments[@]}" 2>&1 |
        sed -E '/^[0-9]+ (warning|error)s? .*generated\.$/d'
}

shell() {
    need shellcheck
    { sources sh; echo .ci/run; } | xargs shellcheck
}

licence() {
    { sources hpp cpp cu cuh cmake sh py txt; echo .ci/run CMakeLists.txt; } |
        xargs grep -L 'SPDX-License-Identifier: Apache-2.0' |
        fail_if_any "These files have no SPDX line:" || return 1
}

# Kernels know nothing of StarPU: only the codelets' StarPU side (codelets/starpu.cmake) includes it.
# (tests/planner checks the planner.)
layers() {
    { grep -rlE '#include [<"](starpu|codelets/(run|block_[a-z]+)|codelets/.*/codelet)' codelets || true; } |
        { grep -vE '^codelets/(run|block_[a-z]+|[a-z_]+/codelet)\.[ch]pp$' || true; } |
        fail_if_any "Only the StarPU side of codelets/ may include StarPU:"
    grep -nE '#include' runtime/{attend,doctor,host_memory,session}.hpp |
        { grep -vE '#include (<[a-z_]+>|"(planner|runtime)/)' || true; } |
        fail_if_any "Public headers may include the standard library, the planner and each other:"
}

"$@"
