#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bundle.sh BUILD PLACE: a bundle of BUILD, packed and unpacked elsewhere below PLACE, runs without an
# environment, and none of its libraries comes from outside but glibc's and the driver's.
set -euo pipefail
command -v patchelf >/dev/null || {
    echo "patchelf is not installed: run 'cmake/setup.sh install'."
    exit 77
}
sources=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
place=$2
rm -rf "$place"
mkdir -p "$place/elsewhere"
"$sources/cmake/bundle.sh" "$1" "$place/bundle"
tar -C "$place/elsewhere" -xzf "$place/bundle.tar.gz"
rm -r "$place"/bundle*
cd "$place/elsewhere/bundle"

foreign=$(env -i LC_ALL=C ldd bin/* lib/* |
    awk '$2 == "=>" && $1 !~ /^lib(c|m|dl|rt|pthread|cuda)\.so/ && $3 !~ /^\/.*\/elsewhere\/bundle\//')
[[ -z $foreign ]] || {
    printf 'not from the bundle:\n%s\n' "$foreign"
    exit 1
}
env -i bin/cqsa --version
env -i PATH=/usr/bin:/bin GTEST_FILTER='*RealText*f32' ./run_tests bin/tool_tests
rm -r "$place"
