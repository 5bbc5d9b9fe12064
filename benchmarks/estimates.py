"""Estimated against measured: wall time and peak memory of cells and packs of different size, really run.

python benchmarks/estimates.py --model DIR --data DIR [--out FILE] [--json] [--ray]

Every grid is planned (`--dry-run --json`) before anything is known, run by `python -m grid.run`, and planned again
after three single cells are done; `benchmarks/README.md` says what is compared.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from command_line import add_output, add_source, give, new_parser, say
from estimates_table import table
from machine_facts import machine_facts

from jobs.spec import CellResult
from jobs.storage import Layout, complete_results, read_result

NAME = "estimates"


@dataclass(frozen=True, kw_only=True)
class Group:
    """Cells that are run together: one base, one pack."""

    name: str
    strategy: str
    labels: tuple[int, ...]
    samples: tuple[int, ...]
    epochs: int = 1

    @property
    def overrides(self) -> list[str]:
        """As a person would write them."""
        values = {
            "axes.strategy": f"[{self.strategy}]",
            "axes.num_labels": list(self.labels),
            "axes.num_samples": list(self.samples),
            "recipe.epochs": self.epochs,
        }
        return [part for key, value in values.items() for part in ("--set", f"{key}={value}")]

    @property
    def num_cells(self) -> int:
        """Label counts times sizes."""
        return len(self.labels) * len(self.samples)


CALIBRATION = (
    Group(name="lora alone, small", strategy="lora", labels=(2,), samples=(100,)),
    Group(name="lora alone, middle", strategy="lora", labels=(8,), samples=(400,), epochs=2),
    Group(name="lora alone, large", strategy="lora", labels=(16,), samples=(800,)),
)
REST = (
    Group(name="lora pack", strategy="lora", labels=(2, 4, 8, 16), samples=(100, 500), epochs=2),
    Group(name="qlora pack", strategy="qlora", labels=(2, 8), samples=(100, 400), epochs=2),
    Group(name="head pack", strategy="head", labels=(4, 16), samples=(200, 800), epochs=5),
    Group(name="full pack", strategy="full", labels=(2, 8), samples=(100, 240)),
    Group(name="qlora alone", strategy="qlora", labels=(4,), samples=(320,), epochs=2),
    Group(name="head alone", strategy="head", labels=(2,), samples=(800,), epochs=5),
    Group(name="full alone", strategy="full", labels=(16,), samples=(160,)),
)
QUICK = (Group(name="lora pack", strategy="lora", labels=(2, 4), samples=(20, 40)),)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where everything lies, and how runs are started."""

    folder: Path
    config: Path
    uses_ray: bool

    @property
    def store(self) -> Path:
        """Of all groups: their cells are told apart by their ids."""
        return self.folder / "results"

    def command(self, group: Group, *options: str, store: Path | None = None) -> str:
        """Give one command of `python -m grid.run`; its standard output."""
        arguments = [sys.executable, "-m", "grid.run", str(self.config), "--results", str(store or self.store)]
        arguments += [*group.overrides, *([] if self.uses_ray else ["--local"]), *options, "--json"]
        environment = {**os.environ, "FINEGRID_CACHE": str(self.folder / "cache"), "HF_HUB_OFFLINE": "1"}
        environment["OMP_NUM_THREADS"] = "1"
        done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=900)
        if done.returncode:
            raise SystemExit(f"{group.name}: exit code {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
        return done.stdout


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; 0."""
    options = _parser().parse_args(arguments)
    found = measure(options)
    give(found, out=options.out, table=None if options.json else table)
    return 0


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Plan, run, plan again, run the rest, compare.

    Returns:
        plain JSON values.
    """
    facts, started = machine_facts(), time.monotonic()
    calibration, rest = (CALIBRATION, REST) if not options.quick else (_small(CALIBRATION), QUICK)
    with _folder(options) as folder:
        bench = Bench(folder=folder, config=_write_config(folder, options), uses_ray=options.ray)
        before = {group.name: _planned(bench, group, "before", folder / "nothing") for group in calibration + rest}
        for group in calibration:
            _run(bench, group)
        after = {group.name: _planned(bench, group, "after three cells") for group in rest}
        for group in rest:
            _run(bench, group)
        groups = [_compared(bench, group, before, after) for group in calibration + rest]
    return {
        "groups": groups,
        "summary": {
            "before": _summary(groups, "before"),
            "after_three_cells": _summary(groups, "after"),
        },
        "settings": {
            "model": Path(options.model).name,
            "data": Path(options.data).name,
            "quick": options.quick,
            "runner": "ray" if options.ray else "local",
            "took_seconds": round(time.monotonic() - started, 1),
        },
        "machine": facts,
    }


@contextmanager
def _folder(options: argparse.Namespace) -> Iterator[Path]:
    """Where everything lies: the caller's folder, in which a benchmark that was ended goes on, or a temporary one."""
    if options.folder is None:
        with tempfile.TemporaryDirectory(prefix="finegrid-estimates-") as folder:
            yield Path(folder)
    else:
        options.folder.mkdir(parents=True, exist_ok=True)
        yield options.folder.absolute()


def _small(groups: Iterable[Group]) -> tuple[Group, ...]:
    return tuple(
        replace(group, labels=(2,), samples=(16 * (place + 1),), epochs=1) for place, group in enumerate(groups)
    )


def _write_config(folder: Path, options: argparse.Namespace) -> Path:
    source = {"source": "builtin"}
    if options.data != "builtin":
        source = {"source": "files", "path": str(Path(options.data).absolute()), "format": "goemotions"}
    document = {
        "name": NAME,
        "axes": {
            "model": [options.model if options.model.startswith("tiny-") else str(Path(options.model).absolute())],
            "strategy": ["lora"],
            "num_labels": [2],
            "num_samples": [100],
        },
        "dataset": {**source, "test_per_label": 50, "validation_per_label": 12},
        "recipe": {"epochs": 1, "batch_size": 4, "learning_rate": 5e-4, "select_on": "last"},
        "lora": {"r": 8, "alpha": 16, "dropout": 0.05},
        "compute": {"cpus_per_trial": 1},
    }
    path = folder / "estimates.yaml"
    path.write_text(json.dumps(document), "utf-8")  # JSON is YAML
    return path


def _planned(bench: Bench, group: Group, when: str, store: Path | None = None) -> dict[str, Any]:
    """What a plan says; kept, because it could not be made again once there are results."""
    kept = bench.folder / "plans" / f"{when} {group.name}.json".replace(" ", "-").replace(",", "")
    if kept.exists():
        return dict(json.loads(kept.read_text("utf-8")))
    started = time.monotonic()
    plan = json.loads(bench.command(group, "--dry-run", store=store))
    seconds = time.monotonic() - started
    say(f"planned {when}: {group.name}, {seconds:.1f} s, about {plan['estimated_seconds']:.0f} s")
    kept.parent.mkdir(exist_ok=True)
    kept.write_text(json.dumps({**plan, "planning_seconds": round(seconds, 2)}), "utf-8")
    return _planned(bench, group, when)


def _run(bench: Bench, group: Group) -> None:
    started = time.monotonic()
    bench.command(group, "--yes")
    say(f"ran {group.name}: {time.monotonic() - started:.1f} s")


def _compared(
    bench: Bench, group: Group, before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """One group: what its plans said, and what it took."""
    plans = {"before": before[group.name], "after": after.get(group.name)}
    ids = [cell["cell_id"] for pack in before[group.name]["packs"] for cell in pack["cells"]]
    results = [read_result(path) for path in complete_results(Layout(bench.store))]
    done = {result.cell.cell_id: result for result in results}
    walls = _pack_walls(bench.store)
    cells = []
    for cell_id in ids:
        result = done[cell_id]
        cells.append(
            {
                "labels": result.cell.data.num_labels,
                "rows": result.cell.data.num_samples,
                "epochs": result.cell.recipe.epochs,
                "strategy": str(result.cell.strategy),
                "measured_seconds": round(_seconds(result), 3),
                "slots": result.provenance.get("slots"),
                **{f"{when}_seconds": _cell_estimate(plan, cell_id) for when, plan in plans.items() if plan},
            }
        )
    return {
        "name": group.name,
        "is_calibration": group.name not in after,
        "cells": cells,
        "planning_seconds": {when: plan["planning_seconds"] for when, plan in plans.items() if plan},
        "rests_on": {when: plan["packs"][0]["estimate_rests_on"] for when, plan in plans.items() if plan},
        "pack": {
            "measured_seconds": round(_wall(walls, ids), 2),
            "measured_bytes": max(round(done[cell_id].costs["peak_memory_bytes"]) for cell_id in ids),
            **{
                key: value
                for when, plan in plans.items()
                if plan
                for key, value in (
                    (f"{when}_seconds", sum(pack["estimated_seconds"] for pack in plan["packs"])),
                    (f"{when}_bytes", plan["totals"]["memory_bytes"]),
                )
            },
        },
    }


def _seconds(result: CellResult) -> float:
    """A cell's share of its pack: training, and all evaluations at the speed at which they were made."""
    recipe, counts, costs = result.cell.recipe, result.counts, result.costs
    rows = recipe.epochs * counts["num_validation"] + counts["num_test"]
    return costs["train_seconds"] + rows / costs["eval_samples_per_second"]


def _cell_estimate(plan: Mapping[str, Any], cell_id: str) -> float:
    cells = (cell for pack in plan["packs"] for cell in pack["cells"])
    return next(float(cell["estimated_seconds"]) for cell in cells if cell["cell_id"] == cell_id)


def _pack_walls(store: Path) -> dict[frozenset[str], float]:
    """Seconds from the start of every pack to its end, by its cells, as its log tells."""
    found = {}
    for path in sorted(Layout(store).logs.glob("*-p*.jsonl")):
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        times = {line["event"]: datetime.fromisoformat(line["time"]).timestamp() for line in lines}
        cells = frozenset(line["cell_id"] for line in lines if line["event"] == "cell_finished")
        first = min(datetime.fromisoformat(line["time"]).timestamp() for line in lines)
        found[cells] = times["pack_finished"] - first
    return found


def _wall(walls: Mapping[frozenset[str], float], ids: Sequence[str]) -> float:
    """Of the packs that trained these cells, one after another or side by side: their sum."""
    return sum(seconds for cells, seconds in walls.items() if cells <= set(ids) and cells)


def _summary(groups: Sequence[Mapping[str, Any]], when: str) -> dict[str, Any]:
    """Errors over all cells and packs that have such an estimate."""
    cells = [cell for group in groups for cell in group["cells"] if f"{when}_seconds" in cell]
    packs = [group["pack"] for group in groups if f"{when}_seconds" in group["pack"]]
    return {
        "cells": len(cells),
        "packs": len(packs),
        "cell_seconds": _errors((cell[f"{when}_seconds"], cell["measured_seconds"]) for cell in cells),
        "pack_seconds": _errors((pack[f"{when}_seconds"], pack["measured_seconds"]) for pack in packs),
        "pack_bytes": _errors((pack[f"{when}_bytes"], pack["measured_bytes"]) for pack in packs),
    }


def _errors(pairs: Iterable[tuple[float, float]]) -> dict[str, float]:
    """Relative errors, and the largest factor between estimate and measurement."""
    known = list(pairs)
    errors = [abs(estimate / measured - 1) for estimate, measured in known]
    return {
        "median_error": round(statistics.median(errors), 4),
        "largest_error": round(max(errors), 4),
        "largest_factor": round(max(max(e / m, m / e) for e, m in known), 3),
    }


def _parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    add_source(parser, model="model folder, or tiny-FAMILY", data="folder of GoEmotions, or builtin")
    parser.add_argument("--ray", action="store_true", help="packs side by side under Ray; default: --local")
    parser.add_argument("--folder", type=Path, help="keep everything here; the same command again goes on")
    parser.add_argument("--quick", action="store_true", help="a few small cells, to see that it works")
    add_output(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
