# SPDX-License-Identifier: Apache-2.0
"""Attention with all data on the GPU by others, one case a question: FlashAttention-2 and cuDNN
through PyTorch (for f32 its memory-efficient kernel), and FlashAttention-3 where the wheel fa3-fwd is
on the path (bf16 only).

Usage: torch_gpu.py, then one question a line on stdin, one answer a line on stdout:
  version                                    what there is
  attend TYPE HEADS TOKENS HEAD_DIM CAUSAL   NAME SECONDS of each that takes the case"""
import importlib.metadata
import statistics
import sys
import time

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

try:
    from fa3_fwd_interface import flash_attn_func as fa3
except Exception:  # the wheel is optional
    fa3 = None

TYPES = {"f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32}
BACKENDS = {"f32": {"efficient": SDPBackend.EFFICIENT_ATTENTION}}
BACKENDS["f16"] = BACKENDS["bf16"] = {"cudnn": SDPBackend.CUDNN_ATTENTION,
                                      "fa2": SDPBackend.FLASH_ATTENTION}


def version():
    found = f"PyTorch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}"
    return found + (f", fa3-fwd {importlib.metadata.version('fa3-fwd')}" if fa3 else "")


def seconds(call, flops):
    """As cqsa_bench_cuda measures: the median time of a call, by events, after a pause (the GPU's
    clock follows its temperature and power) and two warm-ups."""
    torch.cuda.synchronize()
    time.sleep(0.25)
    for _ in range(2):
        call()
    torch.cuda.synchronize()
    times = []
    for _ in range(3 if flops > 4e13 else 7):
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        stop.record()
        stop.synchronize()
        times.append(start.elapsed_time(stop) / 1e3)
    return statistics.median(times)


def answers(type_name, heads, tokens, dim, causal):
    flops = 4 * tokens**2 * heads * dim * (0.5 if causal else 1)
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, heads, tokens, dim, device="cuda", dtype=TYPES[type_name])
               for _ in range(3))
    found = {}

    def measure(name, call):
        try:
            found[name] = seconds(call, flops)
        except Exception:  # does not take the case
            pass

    sdpa = torch.nn.functional.scaled_dot_product_attention
    for name, backend in BACKENDS[type_name].items():
        with sdpa_kernel([backend]):
            measure(name, lambda: sdpa(q, k, v, is_causal=causal))
    if fa3 and type_name == "bf16":
        q, k, v = (x.transpose(1, 2).contiguous() for x in (q, k, v))
        measure("fa3", lambda: fa3(q, k, v, causal=causal))
    return found


for line in sys.stdin:
    question, *case = line.split()
    if question == "version":
        print(version(), flush=True)
        continue
    times = answers(case[0], *(int(n) for n in case[1:4]), case[4] == "1")
    print(" ".join(f"{name} {time}" for name, time in times.items()), flush=True)
