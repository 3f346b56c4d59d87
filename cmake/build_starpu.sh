#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# cmake/build_starpu.sh DEPS [NVCC]
# Builds the newest StarPU 1.4 of Debian's source packages into DEPS/starpu-<version>-<cuda|cpu>,
# with FxT, and with CUDA where NVCC is given. Prints the prefix. Concurrent runs wait for each
# other; the prefix appears only when it is complete.
set -euo pipefail

deps=$1
nvcc=${2:-}
variant=$([[ -n $nvcc ]] && echo cuda || echo cpu)

existing_prefix() {
    find "$deps" -path "$deps/starpu-1.4.*-$variant/lib/pkgconfig/starpu-1.4.pc" 2>/dev/null |
        sort -V | tail -n 1 | sed 's|/lib/pkgconfig/starpu-1.4.pc$||'
}

# Source packages of the releases that carry StarPU 1.4, through a private apt configuration with
# the mirror this machine already uses. Leaves the machine's own apt untouched.
fetch_source() {
    local mirror suite version
    # shellcheck disable=SC2016 # apt-get expands it
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Label: Debian' | sed -n 1p)
    if [[ -z $mirror ]]; then
        echo "StarPU 1.4 is built from Debian's source package, but apt knows no Debian mirror:" \
            "install StarPU 1.4 yourself and name it in PKG_CONFIG_PATH." >&2
        return 1
    fi
    mkdir -p lists/partial cache
    for suite in sid testing stable; do
        echo "deb-src $mirror $suite main"
    done >sources.list
    cat >apt.conf <<APT
Dir::Etc::sourcelist "$PWD/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State::lists "$PWD/lists";
Dir::Cache "$PWD/cache";
APT::Sandbox::User "$(id -un)";
APT
    export APT_CONFIG=$PWD/apt.conf
    apt-get -qq update
    version=$(apt-cache showsrc --only-source starpu | sed -n 's/^Version: \(1\.4\..*\)/\1/p' |
        sort -V | tail -n 1)
    if [[ -z $version ]]; then
        echo "Debian offers no StarPU 1.4 any more, only" \
            "$(apt-cache showsrc --only-source starpu | sed -n 's/^Version: //p' | xargs):" \
            "install StarPU 1.4 yourself and name it in PKG_CONFIG_PATH." >&2
        return 1
    fi
    apt-get -qq source "starpu=$version"
    mv starpu-1.4.*/ source
    echo "${version%%+*}" >version
}

# CUDA 13 has no cudaDeviceProp.computeMode. And no call of ours needs the BLAS wrappers, which would
# load 700 MB of cuBLAS, cuSPARSE and cuSOLVER into every process.
mend_source() {
    sed -i 's/if (props\[devid\].computeMode == cudaComputeModeExclusive)/int mode = 0;\n\tcudaDeviceGetAttribute(\&mode, cudaDevAttrComputeMode, devid);\n\tif (mode == cudaComputeModeExclusive)/' \
        source/src/drivers/cuda/driver_cuda.c source/src/drivers/cuda/driver_cuda1.c
    sed -i 's/^#ifdef STARPU_USE_CUDA$/#ifdef STARPU_USE_CUBLAS/' \
        source/src/drivers/cuda/starpu_cublas.c source/src/drivers/cuda/starpu_cublas_v2.c
    sed -i 's/-lcudart -lcublas"/-lcudart"/' source/configure
    export ac_cv_header_cublasLt_h=no ac_cv_lib_cusparse_cusparseCreate=no \
        ac_cv_lib_cusolver_cusolverDnCreate=no
}

build() { # build PREFIX
    local prefix=$1 options=(
        --with-fxt --enable-maxcpus=256 --enable-blas-lib=none --disable-static
        --disable-build-examples --disable-build-tests --disable-build-doc --disable-build-doc-pdf
        --disable-mpi --disable-opencl --disable-hip --disable-socl --disable-starpufft
        --disable-starpupy --disable-starpurm --disable-fortran --disable-openmp
        --disable-openmp-llvm)
    if [[ -n $nvcc ]]; then
        local cuda
        cuda=$(dirname "$(dirname "$(readlink -f "$nvcc")")")
        options+=("--with-cuda-dir=$cuda" "--with-cuda-lib-dir=$cuda/lib64/stubs"
            --enable-maxcudadev=16 "LDFLAGS=-L$cuda/lib64 -Wl,-rpath,$cuda/lib64")
    else
        options+=(--disable-cuda)
    fi
    mkdir build
    cd build
    ../source/configure --prefix="$prefix" CFLAGS='-O3 -g1 -w' "${options[@]}"
    make -j"$(nproc)"
    make install DESTDIR="$PWD/stage"
    mv -T "stage$prefix" "$prefix"
}

mkdir -p "$deps"
exec 9>"$deps/.lock"
flock 9
if [[ -z $(existing_prefix) ]]; then
    rm -rf "$deps"/.build.* # of a run that was killed
    work=$(mktemp -d "$deps/.build.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    log=$deps/starpu-$variant.log
    echo "Building StarPU 1.4 ($variant) once into $deps; details in $log" >&2
    trap 'tail -n 30 "$log" >&2; echo "StarPU could not be built: see $log." >&2' ERR
    (
        cd "$work"
        fetch_source
        mend_source
        build "$deps/starpu-$(cat version)-$variant"
    ) >"$log" 2>&1
fi
existing_prefix
