"""How long a report of a large store takes, and how much memory: of 10,000 finished cells, and of any store given.

python benchmarks/report_size.py [--cells 10000] [--store DIR] [--repeats 3] [--folder DIR] [--keep] [--out FILE]

prints JSON: for each store the cells, and of every repeat the seconds of `python -m analysis.report STORE --out ...`
as a process of its own, start of the interpreter included, its processor time, its peak resident memory and the size of
index.html. All repeats must write the same bytes. `--store` measures a store that is there already, such as the demo's,
besides. Exit 1 when an aim is missed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from command_line import give, new_parser, say, working_folder
from finished_store import make_store
from machine_facts import machine_facts

AIMS = {
    "large": {"seconds": 15.0, "peak_mib": 1024.0},
    "small": {"seconds": 5.0, "peak_mib": 1024.0, "index_mib": 3.0},
}
"""Upper limits: `large` for stores without pages of single cells, `small` for those with them (up to 500 cells)."""
MOST_PAGED_CELLS = 500


def main(arguments: list[str] | None = None) -> int:
    """Measure and print JSON; 0 when every aim is met."""
    options = _parser().parse_args(arguments)
    with working_folder(options.folder, is_kept=options.keep) as folder:
        stores = list(options.store)
        if options.cells:
            made = folder / "store"
            began_s = time.perf_counter()
            make_store(made, options.cells)
            say(f"made a store in {time.perf_counter() - began_s:.0f} s: {made}")
            stores.append(made)
        found: dict[str, Any] = {"stores": [measure(store, folder / "out", options.repeats) for store in stores]}
    found |= machine_facts()
    give(found, out=options.out)
    return 0 if all(all(one["met"].values()) for one in found["stores"]) else 1


def measure(store: Path, out: Path, repeats: int) -> dict[str, Any]:
    """Seconds and memory of the report of one store; the median of the repeats is held against the aims."""
    cells, metrics = _counts(store)
    runs = [_report(store, out) for _ in range(repeats)]
    if len({run.pop("digest") for run in runs}) != 1:
        raise RuntimeError(f"{store}: equal stores must give equal bytes, and did not")
    medians = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    aims = AIMS["large" if cells > MOST_PAGED_CELLS else "small"]
    return {
        "grid": store.name,
        "cells": cells,
        "numbers": metrics,
        **{name: medians[name] for name in ("seconds", "processor_seconds", "peak_mib", "index_mib")},
        "aims": aims,
        "met": {name: medians[name] <= most for name, most in aims.items()},
        "repeats": runs,
    }


def _report(store: Path, out: Path) -> dict[str, Any]:
    """One report in a process of its own."""
    load = os.getloadavg()[0]
    command = [sys.executable, "-m", "analysis.report", str(store), "--out", str(out)]
    began_s = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began_s
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit {process.returncode}")
    digest = hashlib.sha256()
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        digest.update(path.relative_to(out).as_posix().encode() + b"\0" + path.read_bytes())
    size = (out / "index.html").stat().st_size
    shutil.rmtree(out)
    return {
        "seconds": round(seconds, 2),
        "processor_seconds": round(used.ru_utime + used.ru_stime, 2),
        "peak_mib": round(used.ru_maxrss / 1024, 1),
        "index_mib": round(size / 2**20, 2),
        "load_average_1min": round(load, 2),
        "digest": digest.hexdigest(),
    }


def _counts(store: Path) -> tuple[int, int]:
    with sqlite3.connect(f"file:{store / 'grid.db'}?mode=ro", uri=True) as index:
        cells, metrics = index.execute(
            "SELECT (SELECT count(*) FROM results), (SELECT count(*) FROM metrics)"
        ).fetchone()
    return cells, metrics


def _parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--cells", type=int, default=10_000, help="of the store that is made; 0: none")
    parser.add_argument("--store", type=Path, action="append", default=[], help="a store that is there already")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to make the store; default: the system's")
    parser.add_argument("--keep", action="store_true", help="leave the store there")
    parser.add_argument("--out", type=Path, help="also write the JSON to this file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
