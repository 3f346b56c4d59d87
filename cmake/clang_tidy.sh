#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# cmake/clang_tidy.sh path|install
# clang-tidy 23 from PyPI, in a folder of its own in $CQSA_DEPS (default: $XDG_CACHE_HOME/cqsa,
# ~/.cache/cqsa). It passes over system headers, which takes Debian 12's clang-tidy most of its time.
# path prints where it is, or will be; install makes it be there.
set -euo pipefail

version=23.1.4 # what it finds depends on it
place=${CQSA_DEPS:-${XDG_CACHE_HOME:-$HOME/.cache}/cqsa}/clang-tidy-$version

path() {
    echo "$place/bin/clang-tidy"
}

install() {
    if [[ ! -x $(path) ]]; then
        rm -rf "$place"
        python3 -m venv "$place"
        "$place/bin/pip" install --quiet --disable-pip-version-check "clang-tidy==$version"
    fi
}

"$@"
