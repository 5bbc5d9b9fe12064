"""The result of the benchmark of estimates as Markdown, as README.md has it: errors, packs, cells.

python benchmarks/estimates_table.py benchmarks/results/estimates.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_WHEN = {"before": "before anything is done", "after_three_cells": "after three single cells"}
_WHAT = {
    "cell_seconds": "seconds of a cell",
    "pack_seconds": "seconds of a pack",
    "pack_bytes": "peak memory of a pack",
}


def main(arguments: list[str]) -> int:
    """Print the tables of a result; 0."""
    print(table(json.loads(Path(arguments[0]).read_text("utf-8"))))
    return 0


def table(found: Mapping[str, Any]) -> str:
    """The result for people, in Markdown."""
    return "\n".join([*_errors(found), "", *_packs(found), "", *_cells(found)])


def _errors(found: Mapping[str, Any]) -> Iterator[str]:
    if found["settings"]["quick"]:
        yield "**--quick: these figures mean nothing.**\n"
    yield "| estimates | of | median error | largest error | largest factor |"
    yield "|-|-|-|-|-|"
    for when, title in _WHEN.items():
        summary = found["summary"][when]
        for what, name in _WHAT.items():
            count = summary["cells"] if what == "cell_seconds" else summary["packs"]
            own = summary[what]
            yield (
                f"| {title} | {name} ({count}) | {own['median_error']:.0%} | {own['largest_error']:.0%} "
                f"| {own['largest_factor']:.2f} |"
            )


def _packs(found: Mapping[str, Any]) -> Iterator[str]:
    yield "| pack | cells | s before | s after | s measured | MB before | MB after | MB measured | plan took, s |"
    yield "|-|-|-|-|-|-|-|-|-|"
    for group in found["groups"]:
        pack, planning = group["pack"], group["planning_seconds"]
        after = f"{pack['after_seconds']:.0f}" if "after_seconds" in pack else ""
        after_mb = f"{pack['after_bytes'] / 1e6:.0f}" if "after_bytes" in pack else ""
        took = ", ".join(f"{seconds:.1f}" for seconds in planning.values())
        yield (
            f"| {group['name']} | {len(group['cells'])} | {pack['before_seconds']:.0f} | {after} "
            f"| {pack['measured_seconds']:.0f} | {pack['before_bytes'] / 1e6:.0f} | {after_mb} "
            f"| {pack['measured_bytes'] / 1e6:.0f} | {took} |"
        )


def _cells(found: Mapping[str, Any]) -> Iterator[str]:
    yield "| strategy | labels | rows | epochs | in | s before | s after | s measured |"
    yield "|-|-|-|-|-|-|-|-|"
    for group in found["groups"]:
        for cell in group["cells"]:
            after = f"{cell['after_seconds']:.1f}" if "after_seconds" in cell else ""
            yield (
                f"| {cell['strategy']} | {cell['labels']} | {cell['rows']} | {cell['epochs']} | {group['name']} "
                f"| {cell['before_seconds']:.1f} | {after} | {cell['measured_seconds']:.1f} |"
            )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
