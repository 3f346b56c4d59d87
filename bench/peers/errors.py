# SPDX-License-Identifier: Apache-2.0
"""Errors of cqsa attend on the GPU and of others (gpu_peers.py) on the same inputs: the norm of the
difference from attention in float64, relative to its norm. Needs the package safetensors.

Usage: errors.py CQSA [TOKENS], with the tool's path; prints a line a case."""
import math
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import gpu_peers
import torch
from safetensors.torch import load_file, save_file

warnings.filterwarnings("ignore")  # of backends that do not take a case


def ours(tool, q, k, v, causal):
    with tempfile.TemporaryDirectory() as folder:
        given, out = Path(folder, "qkv.safetensors"), Path(folder, "o.safetensors")
        save_file({"q": q.cpu(), "k": k.cpu(), "v": v.cpu()}, given)
        subprocess.run([tool, "attend", "--quiet", "--input", given, "--out", out,
                        "--workers", "cuda"] + ["--causal"] * causal, check=True)
        return load_file(out)["o"].to(q.device)


def exact(q, k, v, causal):
    """A head at a time, as the scores are tokens x tokens."""
    out = []
    for qh, kh, vh in zip(*(x[0].double() for x in (q, k, v))):
        scores = qh @ kh.T / math.sqrt(qh.shape[-1])
        if causal:
            scores += torch.full_like(scores, -math.inf).triu(1)
        out.append(scores.softmax(-1) @ vh)
    return torch.stack(out)[None]


def main(tool, tokens):
    for type_name, dtype in gpu_peers.TYPES.items():
        for dim in (32, 64, 96, 128, 192, 256):
            for causal in (True, False):
                torch.manual_seed(0)
                q, k, v = (torch.randn(1, 8, tokens, dim, device="cuda", dtype=dtype)
                           for _ in range(3))
                expected = exact(q, k, v, causal)

                def error(x):
                    return ((x.double() - expected).norm() / expected.norm()).item()

                errors = {"ours": error(ours(tool, q, k, v, causal))}
                errors |= gpu_peers.visit(q, k, v, type_name, causal,
                                          lambda attend: error(attend()))
                print(f"{type_name:4} d={dim:<3} {'causal' if causal else 'dense '} ",
                      "  ".join(f"{name} {x:.2e}" for name, x in errors.items()), flush=True)


main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 4096)
