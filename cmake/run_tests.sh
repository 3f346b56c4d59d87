#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run_tests [PROGRAM…]
# Runs the tests of the bundle it lies in (cmake/bundle.sh), the GPU's first, or only those in the
# programs named (bin/…; GTEST_FILTER chooses among their tests). Ends with one line that counts
# them. Exit 1: one failed or a program ran longer than 10 minutes. What a machine lacks is skipped.
set -uo pipefail
shopt -s extglob nullglob
cd "$(dirname "${BASH_SOURCE[0]}")" || exit

log=$(mktemp) || exit
trap 'rm -f "$log"' EXIT

# In place of every skip, each reason once.
run() { # run COMMAND…
    timeout 600 "$@" 2>&1 | tee -a "$log" | awk '
        /: Skipped$/ { getline; ++skips[$0]; next }
        !/^Running main/ { print; fflush() }
        END { for (reason in skips) print skips[reason] " skipped: " reason }'
}

count() { # count PATTERN: the sum of the numbers that follow it in the log
    sed -n "s/^$1 \([0-9]\+\).*/\1/p" "$log" | awk '{ sum += $1 } END { print sum + 0 }'
}

if (($# == 0)); then
    set -- bin/*cuda_test bin/*_tests bin/!(*cuda)_test
    ! command -v python3 >/dev/null || set -- "$@" tests/tool/*.py
fi
broken=()
for test in "$@"; do
    echo "== $test"
    if [[ $test == *.py ]]; then
        run python3 "$test" "$PWD/bin/cqsa"
    else
        run "$test" --gtest_brief=1
    fi
    code=$?
    ((code == 0 || code == 77)) || broken+=("$test")
done
echo "== $(count '\[  PASSED  \]') tests passed, $(count '\[  SKIPPED \]') skipped," \
    "$(grep -c '^\[  FAILED  \]' "$log") failed${broken:+; not passed: ${broken[*]}}"
((${#broken[@]} == 0))
