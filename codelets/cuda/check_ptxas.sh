#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs a compilation (of a kernel that must be fast) and fails where ptxas reports serialised matrix
# products (C75xx), spills or a stack frame. usage: check_ptxas.sh COMPILER ARGUMENTS...
report=$("$@" 2>&1)
status=$?
if [ $status -ne 0 ]; then
    printf '%s\n' "$report" >&2
    exit $status
fi
if bad=$(printf '%s\n' "$report" |
    grep -E '\(C75[0-9]+\)|[1-9][0-9]* bytes (stack frame|spill|lmem)'); then
    printf 'ptxas left this kernel slow:\n%s\n' "$bad" >&2
    exit 1
fi
printf '%s\n' "$report" | grep -E 'warning|remark' >&2
exit 0
