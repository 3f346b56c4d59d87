# SPDX-License-Identifier: Apache-2.0
"""PyTorch's attention of data in host memory: copied to the GPU whole, attended, copied back.

For each backend, in seconds, after one call that is not counted: "in_core" (events around the call
alone), "pinned" and "pageable" (from inputs to output in host memory of that kind). Prints one line a
backend; --json FILE writes {"peer", "version", "gpu", "problem", "rows"}."""
import argparse
import json
import statistics
import time

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

BACKENDS = {"cudnn": SDPBackend.CUDNN_ATTENTION, "fa2": SDPBackend.FLASH_ATTENTION}
TYPES = {"bf16": torch.bfloat16, "f16": torch.float16}


def in_core_seconds(attend):
    start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    attend()
    stop.record()
    stop.synchronize()
    return start.elapsed_time(stop) / 1e3


def host_seconds(sdpa, inputs, out, pinned):
    torch.cuda.synchronize()
    begin = time.perf_counter()
    result = sdpa(*(x.to("cuda", non_blocking=pinned) for x in inputs))
    out.copy_(result, non_blocking=pinned)
    torch.cuda.synchronize()
    return time.perf_counter() - begin


def measure(backend, inputs, out, causal, rounds, pinned_copies):
    def sdpa(q, k, v):
        with sdpa_kernel([backend]):
            return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)

    torch.cuda.reset_peak_memory_stats()
    resident = [x.cuda() for x in inputs]
    sdpa(*resident)
    row = {"in_core": statistics.median(in_core_seconds(lambda: sdpa(*resident))
                                        for _ in range(rounds)),
           "device_bytes": torch.cuda.max_memory_allocated()}
    del resident
    kinds = [("pageable", inputs, out)]
    if pinned_copies:
        kinds.insert(0, ("pinned", *pinned_copies))
    for kind, arrays, result in kinds:
        row[kind] = statistics.median(host_seconds(sdpa, arrays, result, kind == "pinned")
                                      for _ in range(rounds))
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=1 << 20)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--type", choices=TYPES, default="bf16")
    parser.add_argument("--dense", action="store_true")
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=["cudnn"])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json")
    options = parser.parse_args()
    shape = (1, options.heads, options.tokens, options.dim)
    # Made on the GPU, which takes no time.
    inputs = [torch.randn(shape, device="cuda", dtype=TYPES[options.type]).cpu() for _ in range(3)]
    out = torch.zeros(shape, dtype=TYPES[options.type])
    pinned_copies = [x.pin_memory() for x in inputs], out.pin_memory()
    torch.cuda.empty_cache()
    report = {"peer": "torch", "version": torch.__version__,
              "cudnn": torch.backends.cudnn.version(), "gpu": torch.cuda.get_device_name(),
              "problem": {"tokens": options.tokens, "heads": options.heads,
                          "head_dim": options.dim, "dtype": options.type,
                          "causal": not options.dense}, "rows": []}
    for name in options.backends:
        row = {"backend": name}
        try:
            row.update(measure(BACKENDS[name], inputs, out, not options.dense, options.rounds,
                               pinned_copies))
        except Exception as reason:  # does not fit, or has no kernel
            row["failure"] = str(reason)[:200]
        report["rows"].append(row)
        print(json.dumps(row), flush=True)
        if options.json:
            with open(options.json, "w", encoding="utf-8") as file:
                json.dump(report, file, indent=1)


if __name__ == "__main__":
    main()
