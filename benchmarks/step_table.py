"""t(n): time and peak memory of one packed step for n cells, in every mode; JSON, a table and a figure.

python benchmarks/step_table.py --model DIR --data DIR [--counts 1,2,4,8,12,24] [--modes all] [--out PREFIX]
python benchmarks/step_table.py --random qwen2.5-1.5b      random weights of the true size, batches of 4 x 24 tokens

Every mode runs in a process of its own. `trainer` is HF Trainer + PEFT + NF4 with one cell.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import matplotlib
import torch
from command_line import add_output, add_source, give, new_parser, say
from machine_facts import machine_facts
from packed_modes import modes_named
from random_bases import SIZES, build_random_base
from step_probe import TRAINER

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # after the choice of a backend that needs no display

HERE = Path(__file__).resolve().parent
COUNTS = "1,2,4,8,12,24"


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the table, write the files; 1 when a mode failed."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if (options.random is None) == (options.model is None or options.data is None):
        parser.error("either --model and --data, or --random")
    torch.set_num_threads(options.threads)
    found = measure(options)
    out = None if options.out is None else Path(f"{options.out}.json")
    give(found, out=out, table=None if options.json else table)
    if options.out is not None:
        Path(f"{options.out}.md").write_text(table(found) + "\n", "utf-8")
        draw(found, Path(f"{options.out}.png"))
    return 1 if any("failed" in mode for mode in found["modes"]) else 0


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run the probe once for each mode.

    Returns:
        plain JSON values.
    """
    names = [TRAINER, *(mode.name for mode in modes_named(options.modes.split(",")))]
    facts = machine_facts()
    with tempfile.TemporaryDirectory(prefix="step-table-") as folder:
        if options.random is not None:
            random_folder = Path(folder) / options.random
            build_random_base(options.random, random_folder)
            source = ["--random-folder", str(random_folder)]
        else:
            source = ["--model", options.model, "--data", options.data]
        modes = [_probe(name, source, options) for name in names]
    return {
        "model": options.random or Path(options.model).name,
        "weights": "random" if options.random else "pretrained",
        "texts": "4 x 24 random tokens a cell" if options.random else f"4 of {Path(options.data).name} a cell",
        "modes": modes,
        "machine": facts,
    }


def _probe(name: str, source: list[str], options: argparse.Namespace) -> dict[str, Any]:
    say(name)
    settings = ["--mode", name, "--counts", options.counts, "--steps", str(options.steps)]
    settings += ["--threads", str(options.threads), *(["--quick"] if options.quick else [])]
    command = [sys.executable, str(HERE / "step_probe.py"), *source, *settings]
    done = subprocess.run(command, capture_output=True, text=True, timeout=options.timeout_s, check=False)
    if done.returncode != 0:
        return {"mode": name, "rows": [], "failed": done.stderr.strip()[-400:]}
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def table(found: dict[str, Any]) -> str:
    """Milliseconds a cell and step, and peak memory, in Markdown."""
    machine = found["machine"]
    counts = sorted({row["cells"] for mode in found["modes"] for row in mode["rows"]})
    head = (
        f"{found['model']} ({found['weights']} weights), {found['texts']}; "
        f"{machine['gpu']['name'] if machine['gpu'] else machine['cpu']}, {machine['threads']} threads; "
        f"{machine['date'][:10]}, commit {machine['commit']}"
    )
    times = _rows(found, counts, lambda row: f"{row['step_ms'] / row['cells']:.1f}")
    memory = _rows(found, counts, lambda row: f"{row['peak_memory_bytes'] / 2**20:.0f}")
    title = "| " + " | ".join(["mode", *(f"n = {count}" for count in counts)]) + " |"
    line = "|-" * (len(counts) + 1) + "|"
    failed = [f"{mode['mode']} failed: {mode['failed']}" for mode in found["modes"] if "failed" in mode]
    blocks = [head, "", "ms a cell and step, t(n) / n, median:", "", title, line, *times]
    blocks += ["", "peak memory, MiB:", "", title, line, *memory, *failed]
    return "\n".join(blocks)


def _rows(found: dict[str, Any], counts: list[int], text: Any) -> list[str]:
    lines = []
    for mode in found["modes"]:
        by_count = {row["cells"]: row for row in mode["rows"]}
        cells = [_value(by_count.get(count), text) for count in counts]
        lines.append("| " + " | ".join([mode["mode"], *cells]) + " |")
    return lines


def _value(row: dict[str, Any] | None, text: Any) -> str:
    if row is None:
        return ""
    return "out of memory" if "failed" in row else str(text(row))


def draw(found: dict[str, Any], path: Path) -> None:
    """Time a cell and step over the number of cells, one line a mode, the Trainer as a dashed level."""
    figure, axes = plt.subplots(figsize=(7.5, 5), layout="constrained")
    for mode in found["modes"]:
        rows = [row for row in mode["rows"] if "failed" not in row]
        counts, times = [row["cells"] for row in rows], [row["step_ms"] / row["cells"] for row in rows]
        if mode["mode"] == TRAINER and times:
            axes.axhline(
                times[0], color="black", linestyle="--", linewidth=1, label="HF Trainer + PEFT + NF4, one cell"
            )
        elif times:
            style = "-" if mode["mode"].endswith("fast") else ":"
            axes.plot(counts, times, marker="o", markersize=4, linestyle=style, label=mode["mode"])
    axes.set_xlabel("cells in the pack, n")
    axes.set_ylabel("ms a cell and step, t(n) / n")
    axes.set_ylim(bottom=0)
    axes.set_title(f"{found['model']}: one packed step")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    add_source(parser, is_required=False)
    parser.add_argument("--random", choices=sorted(SIZES), help="random weights of this model's true size instead")
    parser.add_argument("--counts", default=COUNTS, help=f"numbers of cells, comma-separated; default {COUNTS}")
    parser.add_argument("--modes", default="all", help="packed modes, comma-separated, or all")
    parser.add_argument("--steps", type=int, default=15, help="steps measured for each number of cells")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--timeout-s", type=float, default=1800.0, help="for one mode")
    parser.add_argument("--quick", action="store_true", help="small cells, to see that it works")
    add_output(
        parser, on_screen="print JSON instead of the table", in_file="write PREFIX.json, PREFIX.md and PREFIX.png"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
