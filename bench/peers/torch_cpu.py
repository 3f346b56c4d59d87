# SPDX-License-Identifier: Apache-2.0
"""PyTorch's CPU attention, one call a question.

Usage: torch_cpu.py THREADS, then one question a line on stdin, one answer a line on stdout:
  version                                    the version
  attend TYPE HEADS TOKENS HEAD_DIM CAUSAL   "torch SECONDS" of one scaled_dot_product_attention
Each answer is of the second of two calls, so that the first takes what starting costs."""
import functools
import sys
import time

import torch

TYPES = {"f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32, "f64": torch.float64}


@functools.lru_cache(maxsize=1)
def attention(type_name, *numbers):
    heads, tokens, dim, causal = (int(n) for n in numbers)
    q, k, v = (torch.randn(1, heads, tokens, dim, dtype=TYPES[type_name]) for _ in range(3))
    sdpa = torch.nn.functional.scaled_dot_product_attention
    return lambda: sdpa(q, k, v, is_causal=bool(causal))


torch.set_num_threads(int(sys.argv[1]))
for line in sys.stdin:
    question, *case = line.split()
    if question == "version":
        print("PyTorch", torch.__version__, flush=True)
        continue
    call = attention(*case)
    call()
    begin = time.perf_counter()
    call()
    print("torch", time.perf_counter() - begin, flush=True)
