# SPDX-License-Identifier: Apache-2.0
"""Forward rates of the peers with all data on the GPU: FlashAttention-2 and cuDNN through PyTorch, and
FlashAttention-3 where the wheel fa3-fwd is on the path (bf16 only, head_dim up to 256).

Prints one line a cell and, with --json FILE, writes a list of
{"dim", "heads", "tokens", "causal", "type", "fa2", "cudnn", "fa3"} with rates in TFLOP/s, counted as
4·tokens²·heads·dim (half of it when causal)."""
import argparse
import json
import statistics
import time

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

try:
    from fa3_fwd_interface import flash_attn_func as fa3
except Exception as reason:  # the wheel is optional
    fa3 = None
    print("fa3 is not measured:", str(reason)[:120])


def seconds(call, repetitions):
    """Median time of a call, by events, after a pause (the GPU's clock follows its temperature and
    power) and two warm-ups."""
    torch.cuda.synchronize()
    time.sleep(0.25)
    for _ in range(2):
        call()
    torch.cuda.synchronize()
    times = []
    for _ in range(repetitions):
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        stop.record()
        stop.synchronize()
        times.append(start.elapsed_time(stop) / 1e3)
    return statistics.median(times)


def cell(dim, heads, tokens, causal, dtype, kv_heads):
    torch.manual_seed(0)
    q = torch.randn(1, heads, tokens, dim, device="cuda", dtype=dtype)
    k, v = (torch.randn(1, kv_heads, tokens, dim, device="cuda", dtype=dtype) for _ in range(2))
    flops = 4 * tokens**2 * heads * dim * (0.5 if causal else 1)
    repetitions = 3 if flops > 4e13 else 7
    rates = {}
    sdpa = torch.nn.functional.scaled_dot_product_attention
    for name, backend in (("fa2", SDPBackend.FLASH_ATTENTION), ("cudnn", SDPBackend.CUDNN_ATTENTION),
                          ("efficient", SDPBackend.EFFICIENT_ATTENTION)):
        if (name == "efficient") != (dtype == torch.float32):
            continue
        try:
            with sdpa_kernel([backend]):
                rates[name] = flops / 1e12 / seconds(
                    lambda: sdpa(q, k, v, is_causal=causal, enable_gqa=heads != kv_heads),
                    repetitions)
        except Exception as reason:
            print(f"{name} failed: {str(reason)[:80]}")
    if fa3 and dtype == torch.bfloat16:
        try:
            q, k, v = (x.transpose(1, 2).contiguous() for x in (q, k, v))
            rates["fa3"] = flops / seconds(lambda: fa3(q, k, v, causal=causal), repetitions) / 1e12
        except Exception as reason:
            print(f"fa3 failed: {str(reason)[:80]}")
    return rates


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dims", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--heads", type=int, nargs="+", default=[8])
    parser.add_argument("--kv-heads", type=int, default=0)
    parser.add_argument("--tokens", type=int, nargs="+", default=[16384, 65536])
    parser.add_argument("--types", nargs="+", default=["bfloat16"])
    parser.add_argument("--json")
    options = parser.parse_args()
    print(torch.cuda.get_device_name(), "torch", torch.__version__, "cudnn",
          torch.backends.cudnn.version())
    rows = []
    for dim in options.dims:
        for dtype in options.types:
            for heads in options.heads:
                for tokens in options.tokens:
                    for causal in (True, False):
                        rates = cell(dim, heads, tokens, causal, getattr(torch, dtype),
                                     options.kv_heads or heads)
                        rows.append({"dim": dim, "heads": heads, "tokens": tokens, "causal": causal,
                                     "type": dtype, **rates})
                        print(f"d={dim} H={heads} N={tokens} {'causal' if causal else 'dense '} "
                              f"{dtype}: "
                              + " ".join(f"{k} {v:.0f}" for k, v in rates.items()), flush=True)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
