#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# cmake/bundle.sh BUILD BUNDLE
# Packs the programs of a finished build (the tool, bench, the tests) into the folder BUNDLE and into
# BUNDLE.tar.gz, with all libraries they need but glibc's (as new as here) and the driver's. The folder
# runs wherever it lies, without any setting; its run_tests runs the tests. What bench and tests read
# keeps its path in the sources. Left out are the tests that need all sources, a compiler or NumPy to
# say anything (checks, planner.includes, install, sanitizer, files.interchange_with_python), and
# simulated_gpu, whose libcudart is not CUDA's.
set -euo pipefail

build=$(realpath "$1")
bundle=$(realpath -m "$2")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
command -v patchelf >/dev/null || {
    echo "patchelf is not installed: run 'cmake/setup.sh install'." >&2
    exit 1
}

programs() {
    find "$build" \( -path "$build/tests/install" -o -path "$build/tests/simulated_gpu" \) -prune -o \
        -type f -executable \( -name cqsa -o -name 'cqsa_bench*' -o -name cqsa_faulty \
        -o -name '*_test' -o -name '*_tests' \) -print
}

libraries() { # libraries PROGRAM…: one path for each name; fails where one is not found
    ldd "$@" | awk '
        $2 != "=>" || $1 ~ /^(ld-linux.*|lib(c|m|dl|rt|pthread|resolv|util|cuda))\.so/ || seen[$1]++ { next }
        $3 == "not" { print $1 " is not found." >"/dev/stderr"; missing = 1; next }
        { print $3 }
        END { exit missing }'
}

rm -rf "$bundle" "$bundle.tar.gz"
mkdir -p "$bundle"/{bin,lib}
programs | xargs cp -t "$bundle/bin"
starpu=$(libraries "$bundle/bin/cqsa" | grep /libstarpu)
# The library starts one at a machine's first start; the other turns a trace into what people read,
# here for the trace's test, and is not in a StarPU without FxT.
for tool in starpu_calibrate_bus starpu_fxt_tool; do
    tool=$(PATH=${starpu%/*}/../bin:$PATH command -v $tool) && cp "$tool" "$bundle/bin"
done
libraries "$bundle"/bin/* | xargs cp -Lt "$bundle/lib"

strip "$bundle"/{bin,lib}/*
# RPATH, unlike RUNPATH, is looked at before LD_LIBRARY_PATH, which machines with GPUs like to set.
# shellcheck disable=SC2016 # the loader expands it
patchelf --force-rpath --set-rpath '$ORIGIN/../lib' "$bundle"/{bin,lib}/*
# StarPU warns at every start where the folder of its installed performance models is missing: the
# root folder, written at the same length, is always there.
perl -pi -e 's{/[^\0]*/perfmodels/sampling(?=\0)}{"/" x length $&}e' "$bundle"/lib/libstarpu*

cp --parents -rt "$bundle" LICENSE bench/measure_offload.sh bench/peers bench/real_text \
    tests/tool/data tests/tool/{agrees_with_numpy,real_text}.py
cp cmake/run_tests.sh "$bundle/run_tests"
tar -C "$(dirname "$bundle")" -czf "$bundle.tar.gz" "$(basename "$bundle")"
du -sh --apparent-size "$bundle" "$bundle.tar.gz"
