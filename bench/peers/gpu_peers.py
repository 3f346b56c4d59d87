# SPDX-License-Identifier: Apache-2.0
"""Attention on the GPU by others: cuDNN and FlashAttention-2 through PyTorch (for f32 its
memory-efficient kernel), and FlashAttention-3 where the wheel fa3-fwd is on the path (bf16 only)."""
import importlib.metadata

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


def visit(q, k, v, type_name, causal, look):
    """What look(attend) finds, by name, for each that takes the case; attend() makes the output of
    q, k, v of [1, heads, tokens, head_dim]."""
    found = {}

    def visit_one(name, attend):
        try:
            found[name] = look(attend)
        except Exception:  # does not take the case
            pass

    sdpa = torch.nn.functional.scaled_dot_product_attention
    for name, backend in BACKENDS[type_name].items():
        with sdpa_kernel([backend]):
            visit_one(name, lambda: sdpa(q, k, v, is_causal=causal))
    if fa3 and type_name == "bf16":
        token_major = [x.transpose(1, 2).contiguous() for x in (q, k, v)]

        def attend_fa3():
            out = fa3(*token_major, causal=causal)
            return (out[0] if isinstance(out, tuple) else out).transpose(1, 2)

        visit_one("fa3", attend_fa3)
    return found
