#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Sets cqsa up on a machine, builds it and runs it; `cmake/setup.sh help` lists the verbs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

deps=${CQSA_DEPS:-${XDG_CACHE_HOME:-$HOME/.cache}/cqsa}
jobs=$(nproc)

build_packages=(g++ cmake ninja-build make pkg-config libhwloc-dev libfxt-dev libcli11-dev
    nlohmann-json3-dev libfmt-dev librandom123-dev libgtest-dev)
starpu_packages=(dpkg-dev libltdl-dev)
test_packages=(clang-14 clang-format-14 libomp-14-dev shellcheck git python3 python3-numpy
    python3-venv)
bundle_packages=(patchelf)

usage() {
    cat <<'TEXT'
usage: cmake/setup.sh VERB

  run      install what is missing, build the tool (build/release/cqsa) and run
           the main job
  test     the same set-up; then build all that is tested, check format and
           code, and run every test, also under the address and undefined-
           behaviour sanitizers, and what has threads under the thread sanitizer
  bundle   the same set-up; then pack tool, tests and bench with their libraries
           into build/cqsa-bundle.tar.gz, for machines with only an NVIDIA driver
  install  only install what is missing
  doctor   say what is here and what is missing; change nothing

Needs Debian 12 (or a system with apt and packages of the same names), and root
or sudo to install packages; without them it says what to install and goes on
with what is there. StarPU 1.4 is the system's where pkg-config finds it, else
it is built once into $CQSA_DEPS (default: $XDG_CACHE_HOME/cqsa, ~/.cache/cqsa),
where pip also puts the clang-tidy that the tests use.
CUDA is used where nvcc is on PATH or in /usr/local/cuda/bin.
By hand, after the set-up: cmake --preset release (cpu, debug, asan, tsan), then
cmake --build --preset release and ctest --preset release.
TEXT
}

# phase NAME COMMAND…: runs a function or command and says how long it took.
phase() {
    local name=$1 start=$SECONDS
    shift
    echo "== $name"
    "$@"
    echo "== $name: $((SECONDS - start)) s"
}

missing_packages() { # missing_packages PACKAGE…
    local package
    for package in "$@"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
            echo "$package"
    done
}

install_packages() { # install_packages PACKAGE…
    if ! command -v dpkg-query apt-get >/dev/null; then
        echo "This system has no apt; under the names Debian gives them, cqsa needs: $*."
        return
    fi
    local missing as_root=()
    mapfile -t missing < <(missing_packages "$@")
    if ((${#missing[@]} == 0)); then
        return
    fi
    if ((EUID != 0)); then
        if ! command -v sudo >/dev/null; then
            echo "To install packages this needs root or sudo; ask for: ${missing[*]}."
            return
        fi
        as_root=(sudo)
    fi
    "${as_root[@]}" apt-get -qq update
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq install --yes --no-install-recommends "${missing[@]}" >/dev/null
}

find_nvcc() {
    command -v nvcc || { [[ -x /usr/local/cuda/bin/nvcc ]] && echo /usr/local/cuda/bin/nvcc; } || true
}

# A StarPU 1.4 of the system, with CUDA where nvcc is found.
system_has_starpu() {
    local header
    pkg-config --exists starpu-1.4 2>/dev/null || return 1
    header=$(pkg-config --variable=starpu_includedir starpu-1.4)/starpu_config.h
    [[ -z $(find_nvcc) ]] || grep -q '^#define STARPU_USE_CUDA 1' "$header"
}

install_starpu() {
    if ! system_has_starpu; then
        phase packages-of-starpu install_packages "${starpu_packages[@]}"
        phase starpu cmake/build_starpu.sh "$deps" "$(find_nvcc)"
    fi
}

install_clang_tidy() {
    cmake/clang_tidy.sh install ||
        echo "clang-tidy could not be fetched with pip: the check that needs it will be skipped."
}

setup() { # setup PACKAGE…
    phase packages install_packages "${build_packages[@]}" "$@"
    install_starpu
}

build() { # build PRESET [TARGET…]
    local preset=$1 targets=()
    shift
    (($# == 0)) || targets=(--target "$@")
    phase "configure-$preset" cmake --preset "$preset" --log-level=NOTICE
    phase "build-$preset" cmake --build --preset "$preset" -j "$jobs" "${targets[@]}"
}

run() {
    setup
    build release cqsa_tool
    phase main-job build/release/cqsa \
        attend --random 1,8,65536,64 --dtype bf16 --causal --verify 64
}

# The tests of all tested presets as one run, so that its summary speaks for all of them.
run_tests() {
    local preset
    mkdir -p build/all
    for preset in "$@"; do
        echo "subdirs(\"$PWD/build/$preset\")"
    done >build/all/CTestTestfile.cmake
    # Teams that wait without a pause would take the cores from the tests beside them.
    OMP_WAIT_POLICY=passive ctest --test-dir build/all -j "$jobs" --output-on-failure \
        --no-tests=error --timeout 600
}

run_all_tests() {
    setup "${test_packages[@]}"
    phase clang-tidy install_clang_tidy
    local preset tested=(release asan tsan)
    for preset in "${tested[@]}"; do
        build "$preset"
    done
    run_tests "${tested[@]}"
}

bundle() {
    setup "${bundle_packages[@]}"
    build release
    phase bundle cmake/bundle.sh build/release build/cqsa-bundle
}

doctor() {
    local nvcc gpu prefix tidy missing
    nvcc=$(find_nvcc)
    gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -n 1 || true)
    echo "system:    $(sed -n 's/^PRETTY_NAME="\(.*\)"/\1/p' /etc/os-release), $(nproc) processors"
    echo "nvcc:      ${nvcc:-none: the build will have no CUDA}"
    echo "GPU:       ${gpu:-none found}"
    if system_has_starpu; then
        echo "StarPU:    $(pkg-config --modversion starpu-1.4) of the system, in" \
            "$(pkg-config --variable=prefix starpu-1.4)"
    else
        prefix=$(find "$deps" -maxdepth 1 -name 'starpu-1.4.*-c*' 2>/dev/null | sort -V | tail -n 1)
        echo "StarPU:    ${prefix:-none: will be built into $deps}"
    fi
    tidy=$(cmake/clang_tidy.sh path)
    [[ -x $tidy ]] || tidy="none: the tests will have pip put it into $deps"
    echo "analysis:  $tidy"
    if command -v dpkg-query >/dev/null; then
        missing=$(missing_packages "${build_packages[@]}" "${starpu_packages[@]}" | xargs)
        echo "to build:  ${missing:-nothing is missing}${missing:+ is missing}"
        missing=$(missing_packages "${test_packages[@]}" "${bundle_packages[@]}" | xargs)
        echo "to test:   ${missing:-nothing is missing}${missing:+ is missing}"
    fi
}

case ${1:-help} in
    run) run ;;
    test) run_all_tests ;;
    bundle) bundle ;;
    install)
        setup "${test_packages[@]}" "${bundle_packages[@]}"
        phase clang-tidy install_clang_tidy
        ;;
    doctor) doctor ;;
    help | --help | -h) usage ;;
    *)
        usage >&2
        exit 2
        ;;
esac
