# SPDX-License-Identifier: Apache-2.0
"""PyTorch's CPU attention and matrix product, one call a question.

Usage: torch_cpu.py THREADS, then one question a line on stdin, one answer a line on stdout:
  version                                    the version
  attend TYPE HEADS TOKENS HEAD_DIM CAUSAL   seconds of one scaled_dot_product_attention
  gemm TYPE SIZE                             seconds of one product of SIZE x SIZE matrices
The first question about a case makes its operands and one call that is not counted."""
import functools
import sys
import time

import torch

TYPES = {"f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32, "f64": torch.float64}


@functools.lru_cache(maxsize=1)
def call_of(kind, type_name, *numbers):
    numbers = [int(n) for n in numbers]
    if kind == "gemm":
        a, b = (torch.randn(numbers[0], numbers[0], dtype=TYPES[type_name]) for _ in range(2))
        call = lambda: a @ b
    else:
        heads, tokens, dim, causal = numbers
        q, k, v = (torch.randn(1, heads, tokens, dim, dtype=TYPES[type_name]) for _ in range(3))
        sdpa = torch.nn.functional.scaled_dot_product_attention
        call = lambda: sdpa(q, k, v, is_causal=bool(causal))
    call()
    return call


torch.set_num_threads(int(sys.argv[1]))
for line in sys.stdin:
    question = line.split()
    if question == ["version"]:
        print(torch.__version__, flush=True)
        continue
    call = call_of(*question)
    begin = time.perf_counter()
    call()
    print(time.perf_counter() - begin, flush=True)
