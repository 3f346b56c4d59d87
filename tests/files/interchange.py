# SPDX-License-Identifier: Apache-2.0
"""What NumPy and the safetensors package write, we read; what we write, they read.

Run by ctest: interchange.py PATH/TO/files_interchange. Exit 77 means skipped."""
import itertools
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
except ImportError:
    safetensors = None
    print("partly skipped: no safetensors package in", sys.executable)
try:
    import ml_dtypes
except ImportError:
    ml_dtypes = None

program = sys.argv[1]


def write(path, array):
    if path.suffix == ".npy":
        np.save(path, array)
    else:
        safetensors.save_file({"q": array, "other": np.arange(3)}, str(path))


def read(path):
    if path.suffix == ".npy":
        array = np.load(path)
        assert np.load(path, mmap_mode="r").offset % 64 == 0
        return array
    return safetensors.load_file(str(path))["q"]


def copy(source, target, *options):
    subprocess.run([program, source, target, *options], check=True)


formats = [".npy"] + ([".safetensors"] if safetensors else [])
shapes = [(2, 3, 5, 7), (3, 5, 7), (5, 7), (1, 1), (2, 0, 3)]
rng = np.random.default_rng(0)
cases = 0
with tempfile.TemporaryDirectory() as folder:
    folder = Path(folder)
    for fmt_in, fmt_out, dtype, shape in itertools.product(formats, formats, ("f2", "f4", "f8"), shapes):
        array = rng.standard_normal(shape).astype(dtype)
        source, target = folder / f"in{fmt_in}", folder / f"out{fmt_out}"
        write(source, array)
        copy(source, target)
        result = read(target)
        assert result.dtype == array.dtype and np.array_equal(result, array), (fmt_in, fmt_out, dtype, shape)
        cases += 1
    for version in ((1, 0), (2, 0), (3, 0)):
        array = rng.standard_normal((4, 6))
        with open(folder / "v.npy", "wb") as file:
            np.lib.format.write_array(file, array, version=version)
        copy(folder / "v.npy", folder / "out.npy")
        assert np.array_equal(np.load(folder / "out.npy"), array)
        cases += 1
    if ml_dtypes and safetensors:
        array = rng.standard_normal((4, 6)).astype(ml_dtypes.bfloat16)
        np.save(folder / "b.npy", array)
        copy(folder / "b.npy", folder / "b.safetensors", "bf16")
        result = safetensors.load_file(str(folder / "b.safetensors"))["q"]
        assert result.dtype == array.dtype and np.array_equal(result, array)
        cases += 1
print(cases, "arrays exchanged")
