# SPDX-License-Identifier: Apache-2.0
"""The tool's files against attention in NumPy's float64, over types, formats, layouts and masks.

Run by ctest: agrees_with_numpy.py PATH/TO/cqsa. Exit 77 means skipped."""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import numpy as np
except ImportError:
    print("SKIPPED: no NumPy in", sys.executable)
    sys.exit(77)
try:
    import safetensors.numpy as safetensors
    import ml_dtypes
except ImportError:
    safetensors = None
    print("partly skipped: no safetensors and ml_dtypes packages in", sys.executable)

tool = sys.argv[1]

# Norm-wise error against float64 with unit-variance inputs, and |lse error| / max(1, |lse|).
bounds = {"f32": (1e-6, 2e-6), "f16": (4e-4, 1e-5), "bf16": (3e-3, 1e-5), "f64": (1e-14, 1e-14)}


def attention(q, k, v, causal):
    """In float64; [batch, heads, tokens, head_dim], any number of key heads that divides."""
    q, k, v = (x.astype(np.float64) for x in (q, k, v))
    k, v = (np.repeat(x, q.shape[1] // k.shape[1], axis=1) for x in (k, v))
    scores = q @ k.swapaxes(2, 3) / np.sqrt(q.shape[3])
    if causal:
        offset = k.shape[2] - q.shape[2] if causal == "bottom-right" else 0
        visible = np.arange(k.shape[2]) <= np.arange(q.shape[2])[:, None] + offset
        scores = np.where(visible, scores, -np.inf)
    m = scores.max(axis=-1, keepdims=True)
    weights = np.exp(scores - m)
    total = weights.sum(axis=-1, keepdims=True)
    return weights @ v / total, (m + np.log(total))[..., 0]


def load(path, name):
    return np.load(path) if path.suffix == ".npy" else safetensors.load_file(str(path))[name]


cases = [  # dtype, format, layout, causal, batch, heads, key heads, tokens, key tokens, head_dim
    ("f32", ".npy", "bhnd", None, 1, 2, 2, 700, 700, 64),
    ("f32", ".npy", "bnhd", "top-left", 2, 4, 1, 333, 333, 40),
    ("f32", ".npy", "bhnd", "bottom-right", 1, 3, 3, 200, 500, 128),
    ("f32", ".npy", "bhnd", "top-left", 1, 1, 1, 300, 100, 17),
    ("f64", ".npy", "bnhd", None, 1, 2, 2, 257, 129, 8),
    ("f16", ".npy", "bhnd", "top-left", 1, 2, 1, 1025, 1025, 64),
    ("f16", ".npy", "bhnd", None, 1, 1, 1, 1, 1, 1),
]
if safetensors:
    cases += [
        ("bf16", ".safetensors", "bhnd", None, 1, 4, 2, 513, 640, 64),
        ("bf16", ".safetensors", "bnhd", "bottom-right", 2, 2, 2, 400, 401, 32),
        ("f32", ".safetensors", "bnhd", "top-left", 1, 2, 2, 300, 300, 256),
    ]

for number, (dtype, fmt, layout, causal, batch, heads, kv_heads, tokens, kv_tokens, dim) in enumerate(cases):
    rng = np.random.default_rng(number)
    kind = {"f32": "f4", "f16": "f2", "f64": "f8"}.get(dtype) or ml_dtypes.bfloat16
    shapes = [(batch, heads, tokens, dim)] + 2 * [(batch, kv_heads, kv_tokens, dim)]
    q, k, v = (rng.standard_normal(shape).astype(kind) for shape in shapes)
    in_file = [x.swapaxes(1, 2).copy() if layout == "bnhd" else x for x in (q, k, v)]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        if fmt == ".npy":
            for name, array in zip("qkv", in_file):
                np.save(folder / f"{name}.npy", array)
            inputs = [x for name in "qkv" for x in (f"--{name}", folder / f"{name}.npy")]
        else:
            safetensors.save_file(dict(zip("qkv", in_file)), str(folder / "qkv.safetensors"))
            inputs = ["--input", folder / "qkv.safetensors"]
        mask = ["--causal", "--causal-align", causal] if causal else []
        out, lse = folder / f"o{fmt}", folder / f"lse{fmt}"
        run = subprocess.run(
            [tool, "attend", *inputs, "--layout", layout, *mask, "--out", out, "--lse", lse,
             "--verify", "16", "--json", "-"], capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        assert json.loads(run.stdout)["problem"]["tokens"] == tokens
        o, l = load(out, "o"), load(lse, "lse")
        assert o.dtype == q.dtype and o.shape == in_file[0].shape, (o.dtype, o.shape)
        assert l.dtype == (np.float64 if dtype == "f64" else np.float32) and l.shape == q.shape[:3]
        o = (o.swapaxes(1, 2) if layout == "bnhd" else o).astype(np.float64)
        exact, exact_lse = attention(q, k, v, causal)
        error = np.linalg.norm(o - exact) / np.linalg.norm(exact)
        lse_error = np.max(np.abs(l - exact_lse) / np.maximum(1, np.abs(exact_lse)))
        bound, lse_bound = bounds[dtype]
        print(f"{dtype:4} {layout} {str(causal):12} error {error:.1e} lse {lse_error:.1e}")
        assert error <= bound and lse_error <= lse_bound
print(len(cases), "cases agree")
