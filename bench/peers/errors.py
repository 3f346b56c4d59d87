# SPDX-License-Identifier: Apache-2.0
"""Errors of cqsa attend and of others on the same inputs: the norm of the difference from attention in
float64, relative to its norm. With a GPU the others are cuDNN and FlashAttention-2 through PyTorch and
FlashAttention-3 (torch_gpu.py says where from), without one PyTorch on the CPU.

Usage: errors.py CQSA [TOKENS], with the tool's path; prints a line a case."""
import ctypes
import json
import math
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

try:
    from fa3_fwd_interface import flash_attn_func as fa3
except Exception:  # the wheel is optional
    fa3 = None

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TYPES = {"f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32}
SAFETENSORS = {"f16": "F16", "bf16": "BF16", "f32": "F32"}
BACKENDS = {"cudnn": SDPBackend.CUDNN_ATTENTION, "fa2": SDPBackend.FLASH_ATTENTION,
            "efficient": SDPBackend.EFFICIENT_ATTENTION}


def write_safetensors(path, tensors, type_name):
    header, data = {}, b""
    for name, x in tensors.items():
        x = x.cpu().contiguous()
        content = ctypes.string_at(x.data_ptr(), x.nbytes)
        header[name] = {"dtype": SAFETENSORS[type_name], "shape": list(x.shape),
                        "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # so that the data are aligned
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def read_safetensors(path, name, dtype):
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    entry = json.loads(content[8:8 + length])[name]
    begin, end = (8 + length + offset for offset in entry["data_offsets"])
    return torch.frombuffer(bytearray(content[begin:end]), dtype=dtype).reshape(entry["shape"])


def ours(tool, q, k, v, type_name, causal):
    with tempfile.TemporaryDirectory() as folder:
        given, out = Path(folder, "qkv.safetensors"), Path(folder, "o.safetensors")
        write_safetensors(given, {"q": q, "k": k, "v": v}, type_name)
        subprocess.run([tool, "attend", "--quiet", "--input", given, "--out", out, "--workers",
                        "cuda" if DEVICE == "cuda" else "cpu"] + ["--causal"] * causal, check=True)
        return read_safetensors(out, "o", TYPES[type_name])


def exact(q, k, v, causal):
    """A head at a time, as the scores are tokens x tokens."""
    out = []
    for qh, kh, vh in zip(*(x[0].double() for x in (q, k, v))):
        scores = qh @ kh.T / math.sqrt(qh.shape[-1])
        if causal:
            scores += torch.full_like(scores, -math.inf).triu(1)
        out.append(scores.softmax(-1) @ vh)
    return torch.stack(out)[None]


def others(q, k, v, causal):
    sdpa = torch.nn.functional.scaled_dot_product_attention
    if DEVICE == "cpu":
        yield "PyTorch", lambda: sdpa(q, k, v, is_causal=causal)
        return

    def with_backend(backend):
        with sdpa_kernel([backend]):
            return sdpa(q, k, v, is_causal=causal)

    for name, backend in BACKENDS.items():
        yield name, lambda: with_backend(backend)
    if fa3:
        def flash3():
            out = fa3(*(x.transpose(1, 2).contiguous() for x in (q, k, v)), causal=causal)
            return (out[0] if isinstance(out, tuple) else out).transpose(1, 2)
        yield "fa3", flash3


def main(tool, tokens):
    for type_name, dtype in TYPES.items():
        for dim in (32, 64, 96, 128, 192, 256):
            for causal in (True, False):
                torch.manual_seed(0)
                q, k, v = (torch.randn(1, 8, tokens, dim, device=DEVICE, dtype=dtype)
                           for _ in range(3))
                expected = exact(q, k, v, causal)

                def error(x):
                    difference = (x.to(DEVICE).double() - expected).norm()
                    return (difference / expected.norm()).item()

                line = [f"ours {error(ours(tool, q, k, v, type_name, causal)):.2e}"]
                for name, attend in others(q, k, v, causal):
                    try:
                        line.append(f"{name} {error(attend()):.2e}")
                    except Exception:  # does not take the case
                        pass
                print(f"{type_name:4} d={dim:<3} {'causal' if causal else 'dense '} ",
                      "  ".join(line), flush=True)


main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 4096)
