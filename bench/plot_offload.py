# SPDX-License-Identifier: Apache-2.0
"""One picture of time against device memory, from what `cqsa_bench offload --json`,
bench/peers/torch_offload.py and bench/peers/stream_cqsa_offload.py wrote on one machine for one problem.

usage: python3 bench/plot_offload.py [--out bench/results/offload.svg] [--title TEXT] FILE.json…

Each point stands at the device memory that the run held at most, as it was measured; the in-core calls
are horizontal lines with a tick at the memory that they need. Needs matplotlib (Debian: python3-matplotlib)."""
import argparse
import json

import matplotlib

matplotlib.use("Agg")
matplotlib.rcParams["svg.hashsalt"] = "cqsa"  # the same file from the same data
from matplotlib import pyplot  # noqa: E402

MIB = 1 << 20
# Name of the plan, label, colour, marker, line. Okabe and Ito's colours, told apart by everyone.
PLANS = [("planner's choice", "cqsa", "#0072b2", "o", "-"),
         ("quorum-major", "cqsa, quorum-major", "#56b4e9", "v", ":"),
         ("query-major", "cqsa, query-major", "#009e73", "^", ":"),
         ("undivided", "cqsa, undivided", "#999999", "s", ":"),
         ("whole quorums", "cqsa, whole quorums resident", "#cc79a7", "D", "--")]
STREAM_CQSA = ("stream-cqsa (the authors' package)", "#d55e00", "X", "-")
IN_CORE = ["#000000", "#e69f00", "#999999"]


def memory_text(mib, _position=None):
    return f"{mib:g} MiB" if mib < 1024 else f"{mib / 1024:g} GiB"


def points(axes, rows, seconds, memory, label, colour, marker, line):
    """Rows with both figures, by memory."""
    found = sorted((memory(row) / MIB, seconds(row)) for row in rows
                   if "failure" not in row and memory(row))
    if found:
        axes.plot(*zip(*found), label=label, color=colour, marker=marker, linestyle=line,
                  markersize=6, linewidth=1.4)


def level(axes, seconds, device_bytes, label, colour):
    """A line, with a tick at the memory below which the call cannot run."""
    axes.axhline(seconds, color=colour, linewidth=1.2, linestyle=(0, (6, 3)), label=label, zorder=1)
    axes.plot([device_bytes / MIB], [seconds], color=colour, marker="|", markersize=12)


def problem_text(problem):
    tokens = problem["tokens"]
    length = (f"{tokens >> 20}M" if tokens % MIB == 0 else
              f"{tokens >> 10}K" if tokens % 1024 == 0 else f"{tokens:,}")
    return (f"{length} tokens, {problem['heads']} heads, head_dim {problem['head_dim']}, "
            f"{'causal' if problem['causal'] else 'dense'}")


def draw(axes, reports):
    levels = iter(IN_CORE)
    for report in reports:
        rows, kind = report["rows"], report["problem"]["dtype"]
        if report.get("peer") == "stream-cqsa":
            label, colour, marker, line = STREAM_CQSA
            points(axes, rows, lambda row: row["seconds"], lambda row: row["device_bytes"],
                   f"{label}, {kind}", colour, marker, line)
        elif report.get("peer") == "torch":
            for row in rows:
                if "failure" not in row:
                    level(axes, row["in_core"], row["device_bytes"],
                          f"{row['backend']} in-core, {kind}", next(levels))
        else:
            if "in_core" in report:
                level(axes, report["in_core"]["seconds"], report["in_core"]["device_bytes"],
                      f"cqsa's kernel in-core, {kind}", next(levels))
            for name, label, *style in PLANS:
                points(axes, [row for row in rows if row["plan"] == name],
                       lambda row: row["call_seconds"],
                       lambda row: row.get("observed_device_bytes"), f"{label}, {kind}", *style)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+")
    parser.add_argument("--out", default="bench/results/offload.svg", help=".svg or .png")
    parser.add_argument("--title")
    options = parser.parse_args()
    reports = []
    for name in options.files:
        with open(name, encoding="utf-8") as file:
            reports.append(json.load(file))
    names = sorted({report["gpu"] for report in reports})
    sizes = sorted({problem_text(report["problem"]) for report in reports})
    if len(sizes) > 1:
        parser.error("the files are of several problems: " + "; ".join(sizes))

    figure, axes = pyplot.subplots(figsize=(9, 5.2), layout="constrained")
    draw(axes, reports)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set_xlim(left=64 / 2**0.25)
    axes.xaxis.set_major_formatter(memory_text)
    axes.yaxis.set_major_formatter(lambda seconds, _position: f"{seconds:g} s")
    axes.set_xlabel("device memory held at most, beside the CUDA context")
    axes.set_ylabel("time, from and to host memory")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_title(options.title or f"{sizes[0]}; {', '.join(names)}", loc="left", fontsize=11)
    axes.legend(frameon=False, fontsize=9)
    metadata = {"Date": None} if options.out.endswith(".svg") else None
    figure.savefig(options.out, dpi=160, metadata=metadata)


if __name__ == "__main__":
    main()
