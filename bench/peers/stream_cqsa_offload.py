# SPDX-License-Identifier: Apache-2.0
"""The package of the method's authors (stream-cqsa from PyPI: PyTorch and Triton) with Q, K and V in
page-locked host memory, under one cap of device memory after another.

Each cap is run once, which compiles kernels, and then --rounds times; "seconds" is the mean of these, as
cqsa_bench counts its own. Prints one line a cap; --json FILE writes {"peer", "version", "gpu", "problem", "rows"}."""
import argparse
import json
import time

import stream_cqsa
import torch

TYPES = {"bf16": torch.bfloat16, "f16": torch.float16}


def attend(inputs, causal):
    torch.cuda.synchronize()
    begin = time.perf_counter()
    _, info = stream_cqsa.attention(*inputs, is_causal=causal, return_info=True)
    torch.cuda.synchronize()
    return time.perf_counter() - begin, info


def measure(cap_bytes, inputs, causal, rounds):
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    total = torch.cuda.mem_get_info()[1]
    torch.cuda.set_per_process_memory_fraction(min(1.0, cap_bytes / total))
    first, info = attend(inputs, causal)
    seconds = [attend(inputs, causal)[0] for _ in range(rounds)] or [first]
    chosen = ("engine", "kernel", "itr", "c", "n_subproblems", "n_par", "oom_retries")
    return {"first_seconds": first, "seconds": sum(seconds) / len(seconds), "each": seconds,
            "device_bytes": torch.cuda.max_memory_reserved(),
            "info": {name: str(info[name]) for name in chosen if name in info}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=1 << 20)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--type", choices=TYPES, default="f16")
    parser.add_argument("--dense", action="store_true")
    parser.add_argument("--caps", type=float, nargs="+", default=[40, 2.6], help="GiB")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--limit-seconds", type=float, default=float("inf"),
                        help="begin no cap after so many seconds")
    parser.add_argument("--json")
    options = parser.parse_args()
    begin = time.perf_counter()
    shape = (1, options.heads, options.tokens, options.dim)
    inputs = [torch.randn(shape, device="cuda", dtype=TYPES[options.type]).cpu().pin_memory()
              for _ in range(3)]
    report = {"peer": "stream-cqsa", "version": stream_cqsa.__version__,
              "gpu": torch.cuda.get_device_name(),
              "problem": {"tokens": options.tokens, "heads": options.heads,
                          "head_dim": options.dim, "dtype": options.type,
                          "causal": not options.dense}, "rows": []}
    for cap in options.caps:
        if time.perf_counter() - begin > options.limit_seconds:
            break
        row = {"budget_bytes": int(cap * 2**30)}
        try:
            row.update(measure(row["budget_bytes"], inputs, not options.dense, options.rounds))
        except Exception as reason:  # does not fit
            row["failure"] = f"{type(reason).__name__}: {str(reason)[:200]}"
        report["rows"].append(row)
        print(json.dumps(row), flush=True)
        if options.json:
            with open(options.json, "w", encoding="utf-8") as file:
                json.dump(report, file, indent=1)


if __name__ == "__main__":
    main()
