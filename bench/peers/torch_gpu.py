# SPDX-License-Identifier: Apache-2.0
"""Times of attention with all data on the GPU by others (gpu_peers.py), one case a question.

Usage: torch_gpu.py, then one question a line on stdin, one answer a line on stdout:
  version                                    what there is
  attend TYPE HEADS TOKENS HEAD_DIM CAUSAL   NAME SECONDS of each that takes the case"""
import statistics
import sys
import time

import gpu_peers
import torch


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
    q, k, v = (torch.randn(1, heads, tokens, dim, device="cuda", dtype=gpu_peers.TYPES[type_name])
               for _ in range(3))
    return gpu_peers.visit(q, k, v, type_name, causal, lambda attend: seconds(attend, flops))


for line in sys.stdin:
    question, *case = line.split()
    if question == "version":
        print(gpu_peers.version(), flush=True)
        continue
    times = answers(case[0], *(int(n) for n in case[1:4]), case[4] == "1")
    print(" ".join(f"{name} {time}" for name, time in times.items()), flush=True)
