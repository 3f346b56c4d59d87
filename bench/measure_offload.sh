#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bench/measure_offload.sh FOLDER [STEP…]
# Measures, on a machine with one GPU, what the table and the picture "time against device memory" are
# made of, all with page-locked arrays, and leaves JSON and tables in FOLDER; about six minutes on one
# H100. Steps, in order:
#   budgets  1M tokens, head_dim 64, f16, causal: the planner's choice at budgets from 64 MiB up
#   cudnn    the same with PyTorch: in-core, and from and to host memory (needs PyTorch)
#   authors  the same with the authors' package at two caps (needs stream-cqsa)
#   small    64K tokens, everything resident
#   compare  the ways to order the same work, at three budgets
#   sizes    an eighth of what the in-core call needs: 512K, 1M and 2M tokens, head_dim 64 and 128
# A step that fails or lasts too long does not keep the others from running. Python is $CQSA_PYTHON or
# python3; the program lies in the bundle (bin/) or in build/release/bench.
set -uo pipefail

folder=$(realpath -m "$1")
shift
steps=("$@")
[[ ${#steps[@]} -gt 0 ]] || steps=(budgets cudnn authors small compare sizes)
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
mkdir -p "$folder"
bench=bin/cqsa_bench
[[ -x $bench ]] || bench=build/release/bench/cqsa_bench
offload=("$bench" offload --pinned)
python=${CQSA_PYTHON:-python3}

run() { # run NAME SECONDS COMMAND…: its output goes to the terminal and to FOLDER/NAME.txt
    local name=$1 limit=$2
    shift 2
    echo "== $name: $*"
    SECONDS=0
    timeout "$limit" "$@" --json "$folder/$name.json" 2>&1 | tee "$folder/$name.txt"
    echo "== $name: exit ${PIPESTATUS[0]}, $SECONDS s"
}

# The budgets are an eighth of 4 operands and the fp32 state.
eighth() { # eighth TOKENS_IN_MI HEAD_DIM: MiB
    echo $(((4 * 8 * $1 * $2 * 2 + 8 * $1 * ($2 + 2) * 4) / 8))MiB
}

budgets() {
    run budgets 110 "${offload[@]}" --tokens 1Mi --type f16 --verify 8 --limit-seconds 90 \
        --device-memory 128MiB,96MiB,776MiB,256MiB,64MiB,2662MiB,8GiB
}

cudnn() {
    run cudnn 60 "$python" bench/peers/torch_offload.py --type f16
}

authors() {
    run authors 90 "$python" bench/peers/stream_cqsa_offload.py --caps 40 2.6 --limit-seconds 60
}

small() {
    run small 30 "${offload[@]}" --tokens 64Ki --device-memory all,2GiB --rounds 9 --verify 64
}

compare() {
    run compare 150 "${offload[@]}" --tokens 1Mi --type f16 --compare --rounds 0 --limit-seconds 120 \
        --device-memory 128MiB,512MiB,2GiB
}

sizes() {
    local dim
    for dim in 64 128; do
        run "1m_$dim" 40 "${offload[@]}" --tokens 1Mi --dim "$dim" --device-memory "$(eighth 1 "$dim")"
        run "1m_${dim}_dense" 60 "${offload[@]}" --tokens 1Mi --dim "$dim" --dense --rounds 0 \
            --device-memory "$(eighth 1 "$dim")"
        run "2m_$dim" 60 "${offload[@]}" --tokens 2Mi --dim "$dim" --rounds 0 \
            --device-memory "$(eighth 2 "$dim")"
        run "512k_$dim" 30 "${offload[@]}" --tokens 512Ki --dim "$dim" --rounds 3 \
            --device-memory "$(($(eighth 1 "$dim" | tr -d MiB) / 2))MiB"
    done
}

for step in "${steps[@]}"; do
    case $step in
    budgets | cudnn | authors | small | compare | sizes) "$step" ;;
    *)
        echo "There is no step $step." >&2
        exit 2
        ;;
    esac
done
