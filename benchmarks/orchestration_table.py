"""The result of the orchestration benchmark as Markdown, as README.md has it: figures with an aim, then both runs.

python benchmarks/orchestration_table.py benchmarks/results/orchestration.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

WORKERS = "ray::PackTrainable"
_AIMED = {
    "overhead_ms_per_cell": "overhead a cell, ms",
    "growth": "growth of a further cell, last fifth over the second and third tenth",
    "growth_of_driver_cpu": "the same in the driver's processor time",
    "driver_kib_per_cell": "driver's memory a further cell, KiB",
    "planning_s": "planning the finished grid again, s",
    "status_s": "`status`, slowest of four forms, s",
    "export_s": "`export` to CSV, s",
}
_RUN = {
    "load_average_1min": "load average at its start",
    "wall_s": "whole process, s",
    "pictures_s": "of it pictures at the end (not counted below), s",
    "before_work_s": "of it config, checks and start of Ray, s",
    "ms_per_cell": "overhead a cell, ms",
    "ms_per_further_cell": "a further cell, ms",
    "ms_per_further_cell_early": "in the second and third tenth of the run, ms",
    "ms_per_further_cell_late": "in its last fifth, ms",
    "driver_cpu_ms_per_cell": "processor time a cell, driver, ms",
}


def table(found: dict[str, Any]) -> str:
    """Both tables.

    Args:
        found: what the benchmark prints with --json.
    """
    rows = [f"| {found['cells']:,} cells | measured | at most |", "|-|-|-|"]
    rows += [f"| {text} | {_figure(found[name])} | {found['aims'][name]:g} |" for name, text in _AIMED.items()]
    for name, raw in (found["raw_tune"] or {}).items():
        what = f"raw Ray Tune, {name.replace('_', ' ')}, {raw['trials']} trials, ms a trial"
        rows.append(f"| {what} | {_figure(raw['seconds_per_trial'] * 1e3)} | |")
    runs = {f"{int(cells):,} cells": run for cells, run in found["runs"].items()}
    if "small_again" in found:
        runs["the small one again"] = found["small_again"]
    rows += [
        "",
        "| a run | " + " | ".join(runs) + " |",
        "|-" * (len(runs) + 1) + "|",
    ]
    rows += [_row(text, (_figure(run[name]) for run in runs.values())) for name, text in _RUN.items()]
    others = [run["other_cpu_ms_per_cell"] for run in runs.values()]
    rows.append(_row("processor time a cell, workers, ms", (_figure(spent.get(WORKERS)) for spent in others)))
    rest = (sum(ms for name, ms in spent.items() if name != WORKERS) for spent in others)
    rows.append(_row("processor time a cell, the rest of Ray, ms", map(_figure, rest)))
    memory = (", ".join(_figure(mib) for mib in run["driver_mib_by_fifth"]) for run in runs.values())
    return "\n".join([*rows, _row("driver's memory, mean by fifths of the run, MiB", memory)])


def _row(text: str, values: Any) -> str:
    return " | ".join([f"| {text}", *values]) + " |"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


if __name__ == "__main__":
    print(table(json.loads(Path(sys.argv[1]).read_text("utf-8"))))
