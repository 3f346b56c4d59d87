#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bench/measure_offload.sh FOLDER [STEP…]
# Measures, on a machine with one GPU, what the table and the picture "time against device memory" are
# made of, all with page-locked arrays, and leaves JSON and tables in FOLDER; some twenty minutes on
# one H200. Steps, in order:
#   budgets  1M tokens, head_dim 64, f16, causal: the planner's choice at budgets from 64 MiB up
#   cudnn    the same with PyTorch: in-core, and from and to host memory (needs PyTorch)
#   authors  the same with the authors' package at two caps (needs stream-cqsa)
#   small    64K tokens, everything resident
#   compare  the ways to order the same work, 64K to 2M tokens at budgets from 64 MiB up
#   sizes    an eighth of what the in-core call needs: 512K, 1M and 2M tokens, head_dim 64 and 128,
#            causal and dense, f16 and bf16
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

budgets() {
    run budgets 150 "${offload[@]}" --tokens 1Mi --type f16 --verify 8 --limit-seconds 130 \
        --device-memory 128MiB,112MiB,104MiB,96MiB,776MiB,256MiB,160MiB,64MiB,2662MiB,8GiB
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
    local compare=("${offload[@]}" --type f16 --compare --no-in-core)
    run compare_64k 60 "${compare[@]}" --tokens 64Ki --rounds 5 \
        --device-memory 64MiB,128MiB,256MiB,512MiB,2GiB,16GiB
    run compare_256k 60 "${compare[@]}" --tokens 256Ki --rounds 2 \
        --device-memory 64MiB,128MiB,256MiB,512MiB,2GiB,16GiB
    run compare_1m 120 "${compare[@]}" --tokens 1Mi --rounds 0 \
        --device-memory 64MiB,256MiB,1GiB,4GiB
    run compare_2m 150 "${compare[@]}" --tokens 2Mi --rounds 0 --device-memory 1544MiB,16GiB
}

sizes() {
    local type dim mask
    for type in f16 bf16; do
        for dim in 64 128; do
            for mask in causal dense; do
                size 512 "$dim" "$type" "$mask" 2
                size 1024 "$dim" "$type" "$mask" 1
                size 2048 "$dim" "$type" "$mask" 0
            done
        done
    done
}

# The budget is an eighth of 4 operands and the fp32 state.
size() { # size TOKENS_IN_KI HEAD_DIM TYPE MASK ROUNDS
    local budget=$(((4 * 8 * $1 * $2 * 2 + 8 * $1 * ($2 + 2) * 4) / 8))
    local dense=()
    [[ $4 == causal ]] || dense=(--dense)
    run "$1k_$2_$3_$4" 100 "${offload[@]}" --tokens "$1Ki" --dim "$2" --type "$3" "${dense[@]}" \
        --rounds "$5" --device-memory "${budget}KiB"
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
