"""What the orchestrator itself costs: a large grid with a trainer that does nothing, through Ray Tune.

python benchmarks/orchestration.py --cells 10000 --json [--out FILE] [--raw-trials N]

prints {"overhead_ms_per_cell": ..., "runs": {...}, "raw_tune": {...}, "planning": {...}, ...}. Every figure is of a
real process: `python -m grid.run` with another trial module, `finegrid status`, `finegrid export`.
`benchmarks/README.md` says what is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from command_line import add_output, give, new_parser, say, working_folder
from machine_facts import machine_facts
from orchestration_table import table

from grid.store.filesystem import filesystem_type

HERE = Path(__file__).resolve().parent
AIMS = {
    "overhead_ms_per_cell": 20.0,
    "growth": 1.1,
    "growth_of_driver_cpu": 1.1,
    "driver_kib_per_cell": 1.0,
    "planning_s": 2.0,
    "status_s": 2.0,
    "export_s": 2.0,
}
"""Upper limits. Growth: cost of a further cell at the end of the large run over that near its start, 1.1 for noise."""
MODELS = ["tiny-bert", "tiny-gpt2", "tiny-llama-3.2", "tiny-qwen2.5", "tiny-gemma-3"]
_TIMEOUT_S = 3600
_MIN_POINTS = 3
_SLOPES = ("ms_per_further_cell", "driver_cpu_ms_per_further_cell")
_EARLY, _LATE = (0.1, 0.3), (0.8, 1.0)
"""Parts of a run, as shares of its cells, whose slopes are compared."""
_STARTUP_SHARE = 0.1
"""Samples of the first tenth of the cells are left out of slopes: libraries still load and caches fill."""


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; 0 when every aim is met."""
    options = _parser().parse_args(arguments)
    found = measure(options)
    give(found, out=options.out, table=None if options.json else table)
    return 0 if all(is_met is not False for is_met in found["met"].values()) else 1


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run a small and a large grid, raw Ray Tune, and the reading commands over the large one.

    Returns:
        plain JSON values.
    """
    facts = machine_facts()
    with working_folder(options.folder) as folder:
        small = max(options.cells // 10, 1)
        runs = {str(cells): run_grid(folder, cells) for cells in dict.fromkeys((small, options.cells))}
        again = run_grid(folder, small, name=f"{small}-again")
        found = {
            "cells": options.cells,
            "runs": runs,
            "small_again": again,
            "raw_tune": measure_raw(options.raw_trials) if options.raw_trials else None,
            **measure_reading(folder, options.cells, options.repeats),
            "disk": {"file_system": filesystem_type(folder), "fsync_ms": _fsync_ms(folder)},
        }
    return (
        _summary(found, (runs[str(small)], again), runs[str(options.cells)])
        | found
        | {"machine": facts | {"libraries": _libraries()}}
    )


def _summary(found: dict[str, Any], small: Sequence[dict[str, Any]], large: dict[str, Any]) -> dict[str, Any]:
    """The figures that have an aim, and whether each is met; None where a run was too short to say."""
    figures = {
        "overhead_ms_per_cell": large["ms_per_cell"],
        "growth": _growth(large, "ms_per_further_cell"),
        "growth_of_driver_cpu": _growth(large, "driver_cpu_ms_per_further_cell"),
        "driver_kib_per_cell": large["driver_kib_per_cell"],
        "planning_s": found["planning"]["finished_s"],
        "status_s": max(found["status"].values()),
        "export_s": found["export"]["csv_s"],
    }
    met = {name: None if figures[name] is None else figures[name] <= aim for name, aim in AIMS.items()}
    slopes_over_small = {name: _over_small(large, small, name) for name in _SLOPES}
    return {**figures, "aims": AIMS, "met": met, "large_over_small": slopes_over_small}


def _growth(run: dict[str, Any], name: str) -> float | None:
    """What a further cell costs near the end of a run over what it costs from its first tenth to three tenths.

    Both ends of one run: two runs differ by what the machine does meanwhile (start-up that is a larger share of a small
    grid, a disk whose journal is full, a lowered clock), by more than the growth that is looked for.
    """
    early, late = run[f"{name}_early"], run[f"{name}_late"]
    return late / early if early and late else None


def _over_small(large: dict[str, Any], small: Sequence[dict[str, Any]], name: str) -> float | None:
    """A figure of the large grid over the mean of the small ones, made before and after it."""
    values = [run[name] for run in small]
    return large[name] / statistics.fmean(values) if large[name] and all(values) else None


def config_of(folder: Path, cells: int) -> Path:
    """Write a config of so many cells: models x label counts x sizes, as a grid of people has them, the rest seeds.

    Args:
        folder: where to write it.
        cells: a multiple of 100 for five models, of ten for one; others are rounded down.
    """
    models, labels, sizes = (5, 4, 5) if cells >= 100 else (1, 2, 5) if cells >= 10 else (1, 1, 1)
    document = {
        "name": "orchestration",
        "axes": {
            "model": MODELS[:models],
            "strategy": ["lora"],
            "num_labels": [2, 4, 8, 16][:labels],
            "num_samples": [32, 64, 96, 128, 160][:sizes],
            "seed": list(range(cells // (models * labels * sizes))),
        },
        "dataset": {"source": "builtin", "rows": 3000, "test_per_label": 5, "validation_per_label": 5},
        "compute": {"device": "cpu"},
    }
    path = folder / f"{cells}.yaml"
    path.write_text(json.dumps(document), "utf-8")
    return path


def run_grid(folder: Path, cells: int, *, name: str = "") -> dict[str, Any]:
    """Run a grid to its end through Ray Tune.

    Args:
        folder: where everything lies.
        cells: of the grid.
        name: of its results folder; default: the number of cells.

    Returns:
        what it cost; see `benchmarks/README.md`.
    """
    say(f"a run of {cells:,} cells")
    name = name or str(cells)
    config, record_path = config_of(folder, cells), folder / f"{name}-record.json"
    load = os.getloadavg()[0]
    began_s = time.perf_counter()
    arguments = [str(config), "--results", str(folder / name), "--yes", "--json"]
    done = _python([str(HERE / "idle_driver.py"), str(record_path), *arguments])
    wall_s = time.perf_counter() - began_s
    record = json.loads(record_path.read_text("utf-8"))
    summary = json.loads(done.stdout)
    if summary["counts"]["done"] != cells or not record["ray_imported"]:
        raise SystemExit(f"the run did not finish its cells: {summary['counts']}")
    pictures_s = record["pictures"][1] - record["pictures"][0]
    found = {
        "load_average_1min": round(load, 2),
        "wall_s": wall_s,
        "pictures_s": pictures_s,
        "before_work_s": record["work"][0],
        "work_s": record["work"][1] - record["work"][0],
        "after_work_s": record["end"] - record["work"][1] - pictures_s,
        "ms_per_cell": (wall_s - pictures_s) / cells * 1e3,
        "driver_cpu_ms_per_cell": record["driver_cpu_s"] / cells * 1e3,
        "other_cpu_ms_per_cell": {name: s / cells * 1e3 for name, s in sorted(record["children_cpu_s"].items())},
        **slopes(record["samples"], cells),
    }
    say(f"  {found['ms_per_cell']:.1f} ms a cell, {wall_s:.0f} s in all")
    return found


def slopes(samples: Sequence[Sequence[float]], cells: int) -> dict[str, Any]:
    """What one more cell costs: slopes of straight lines over the number of finished cells.

    Args:
        samples: (seconds, finished cells, bytes of the driver's memory, its processor seconds), one after another.
        cells: of the grid.

    Returns:
        milliseconds, driver's processor milliseconds and driver's KiB a cell; of early and late parts and of fifths
        of the run, None where a part was over too soon; the driver's memory at the start and at its highest, in MiB.
    """
    seconds, finished, memory, cpu = np.array(samples, dtype=float).T
    is_settled = (finished >= cells * _STARTUP_SHARE) & (finished < cells)
    fifths = [(finished > cells * part / 5) & (finished <= cells * (part + 1) / 5) for part in range(5)]

    def slope(values: Any, where: Any) -> float | None:
        x, y = finished[where], values[where]
        return float(np.polyfit(x, y, 1)[0]) if len(set(x)) >= _MIN_POINTS else None

    def part_of(share: tuple[float, float]) -> Any:
        return (finished >= cells * share[0]) & (finished < cells * share[1])

    whole = (finished > 0) if slope(seconds, is_settled) is None else is_settled
    return {
        "ms_per_further_cell": slope(seconds * 1e3, whole),
        "ms_per_further_cell_by_fifth": [slope(seconds * 1e3, part) for part in fifths],
        "ms_per_further_cell_early": slope(seconds * 1e3, part_of(_EARLY)),
        "ms_per_further_cell_late": slope(seconds * 1e3, part_of(_LATE)),
        "driver_cpu_ms_per_further_cell_early": slope(cpu * 1e3, part_of(_EARLY)),
        "driver_cpu_ms_per_further_cell_late": slope(cpu * 1e3, part_of(_LATE)),
        "driver_cpu_ms_per_further_cell": slope(cpu * 1e3, whole),
        "driver_cpu_ms_per_further_cell_by_fifth": [slope(cpu * 1e3, part) for part in fifths],
        "driver_kib_per_cell": slope(memory / 1024, whole),
        "driver_mib_by_fifth": [float(memory[part].mean()) / 2**20 if part.any() else None for part in fifths],
        "driver_start_mib": memory[0] / 2**20,
        "driver_peak_mib": float(memory.max()) / 2**20,
    }


def measure_raw(trials: int) -> dict[str, Any]:
    """Ray Tune as it comes, one trial a cell: a function trainable, and a class trainable that reuses its processes."""
    found: dict[str, Any] = {}
    for name, options in (("function", []), ("class_reuse_actors", ["--reuse-actors"])):
        say(f"raw Ray Tune, {trials} trials: {name}")
        load = os.getloadavg()[0]
        done = _python([str(HERE / "raw_tune.py"), str(trials), *options])
        found[name] = json.loads(done.stdout.splitlines()[-1]) | {"load_average_1min": round(load, 2)}
    return found


def measure_reading(folder: Path, cells: int, repeats: int) -> dict[str, Any]:
    """Processes that only read: planning again, status, export; seconds from start to end, median."""
    config, results = config_of(folder, cells), folder / str(cells)
    record = folder / "again.json"
    again = ["-m", "grid.run", str(config), "--results", str(results), "--yes"]
    fresh = ["-m", "grid.run", str(config), "--results", str(folder / "none"), "--yes", "--dry-run", "--json"]
    say("planning, status and export")
    _python([str(HERE / "idle_driver.py"), str(record), *again[2:]])
    unfinished = declare_only(folder, config)
    status, export = ["-m", "grid.cli", "status"], ["-m", "grid.cli", "export"]
    return {
        "planning": {
            "finished_s": _timed(again, repeats),
            "finished_imports_ray": json.loads(record.read_text("utf-8"))["ray_imported"],
            "dry_run_of_new_grid_s": _timed(fresh, repeats),
        },
        "status": {
            "finished_text_s": _timed([*status, str(results)], repeats),
            "finished_json_s": _timed([*status, str(results), "--json"], repeats),
            "unfinished_text_s": _timed([*status, str(unfinished)], repeats),
            "unfinished_json_s": _timed([*status, str(unfinished), "--json"], repeats),
        },
        "export": {
            f"{kind}_s": _timed([*export, str(results), "--out", str(folder / f"all.{kind}")], repeats)
            for kind in ("csv", "json", "parquet")
        },
        "load_average_1min_reading": round(os.getloadavg()[0], 2),
    }


def declare_only(folder: Path, config: Path) -> Path:
    """A store of the same grid in which no cell has run."""
    from grid.cells import declared_cells
    from grid.config import load_config
    from grid.resolve import OfflineResolver
    from grid.store import Store

    declared = load_config(str(config))
    root = folder / "unfinished"
    with Store.open(root, grid=declared.name) as store:
        store.claim(declared.to_json())
        store.declare(declared_cells(declared, OfflineResolver()))
        store.finish_run(5)
    return root


def _timed(arguments: Sequence[str], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        began_s = time.perf_counter()
        _python(arguments)
        seconds.append(time.perf_counter() - began_s)
    return statistics.median(seconds)


def _python(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parent}"}
    environment.pop("RAY_ADDRESS", None)
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        env=environment,
        cwd=HERE.parent,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stderr[-4000:]}")
    return done


def _libraries() -> dict[str, str]:
    return {name: metadata.version(name) for name in ("ray", "SQLAlchemy", "rich")} | {"sqlite": sqlite3.sqlite_version}


def _fsync_ms(folder: Path) -> float:
    """One small file, synced: what every durable step is made of."""
    began_s = time.perf_counter()
    for index in range(50):
        with (folder / f"sync-{index}").open("wb") as file:
            file.write(b"x" * 2000)
            file.flush()
            os.fsync(file.fileno())
    return (time.perf_counter() - began_s) / 50 * 1e3


def _parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--cells", type=int, default=10_000, help="cells of the large grid; a tenth in the small one")
    parser.add_argument("--raw-trials", type=int, default=200, help="trials of raw Ray Tune; 0: leave it out")
    parser.add_argument("--repeats", type=int, default=3, help="of the commands that only read")
    parser.add_argument("--folder", type=Path, help="where to make and remove the results; default: the system's")
    add_output(
        parser, on_screen="print the whole result instead of a table", in_file="also write the whole result here"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
