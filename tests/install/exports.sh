#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# exports.sh LIBRARY: a shared libcqsa exports the calls of the public headers and nothing else.
set -euo pipefail
exported=$(nm -D --defined-only --demangle "$1" | cut -d ' ' -f 3-)
for call in attend calibrate plan_attention verify bhnd_strides bnhd_strides describe_machine \
    read_host_memory Session::attend; do
    grep -q "^cqsa::$call(" <<<"$exported" || {
        echo "cqsa::$call is not exported"
        exit 1
    }
done
others=$(grep -vE '^cqsa::(attend|calibrate|plan_attention|verify|describe_machine|read_host_memory|Session::~?[A-Za-z=]+|b[hn]+d_strides)[([]|^(typeinfo|vtable).* for cqsa::Error$' \
    <<<"$exported" || true)
[[ -z $others ]] || {
    printf 'exported beside the public calls:\n%s\n' "$others"
    exit 1
}
