"""Packs as files, for machines without Ray: what `finegrid packs CONFIG --out DIR` does.

Each file is what `python -m jobs.trial FILE RESULTS` trains, one of them a task of a batch system's array. The results
folders are those of any run: the next `python -m grid.run` or `finegrid packs` of the same store takes them in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from grid.devices import Devices, NodeKind
from grid.identity import is_provisional
from grid.options import RunOptions
from grid.outlook import Outlook, check, look_ahead, take_in
from grid.plan import PlannedPack
from grid.store import Store
from grid.summary import STOPPED_EARLY
from jobs.errors import ConfigError, EnvironmentProblem, Problem
from jobs.spec import PackedCell, PackSpec, dumps

PATTERN = "pack-*.json"


@dataclass(frozen=True, kw_only=True)
class Task:
    """What one task of the array has for itself."""

    number: int
    """Tasks at a time; there may be more packs than that."""
    cpus: int
    gpus: int = 0


@dataclass(frozen=True, kw_only=True)
class PackFiles:
    """What was written."""

    folder: Path
    results: Path
    files: tuple[Path, ...]
    num_cells: int
    num_done: int
    num_waiting: int
    """Failed, and left alone by this command."""

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return {
            "folder": str(self.folder),
            "results": str(self.results),
            "packs": len(self.files),
            "cells": self.num_cells,
            "done": self.num_done,
            "waiting": self.num_waiting,
        }

    def render(self, console: Console) -> None:
        """Print what to do next."""
        counts = f"{self.num_cells:,} cells in {len(self.files):,} packs, {self.num_done:,} done"
        console.print(f"{counts}, {self.num_waiting:,} failed and left alone")
        if self.files:
            line = f"sbatch --array=0-{len(self.files) - 1} clusters/slurm-array.sbatch {self.folder} {self.results}"
            console.print(escape(f"one task a pack: {line}"), soft_wrap=True)


def write_packs(options: RunOptions, folder: Path, task: Task, console: Console) -> PackFiles:
    """Bring a store up to date with its result folders, and write what is left as packs.

    Args:
        options: the config and its store.
        folder: for the files; packs of an earlier call are removed.
        task: what the packs are made for.
        console: for people.

    Returns:
        what was written.

    Raises:
        ConfigError: the config, or the request of it, does not fit (exit 2).
        EnvironmentProblem: preflight refused (exit 3).
        StoreBusy: a run owns the store (exit 4).
    Side effects:
        makes the store, claims an epoch of it and takes in finished cells.
    """
    node = NodeKind(cpus=task.cpus, gpus=task.gpus, count=task.number)
    devices = Devices.of_nodes((node,), where="the tasks")
    outlook = look_ahead(options)
    outlook = check(replace(outlook, plan=outlook.planned({}, devices).plan, devices=devices), console, is_here=False)
    if any(is_provisional(cell) for cell in outlook.cells):
        raise ConfigError([Problem("axes.model", "revisions are not known", None, "run it where the hub is reached")])
    with Store.open(outlook.root, grid=outlook.config.name) as store:
        epoch = store.claim(outlook.config.to_json())
        for name, revision in outlook.new_pins.items():
            store.pin(name, revision)
        outlook = take_in(outlook, store)
        outlook = outlook.planned(store.states())
        files = _write(outlook, folder, epoch)
        store.finish_run(STOPPED_EARLY if files else 0)
    plan = outlook.plan
    return PackFiles(
        folder=folder,
        results=outlook.root,
        files=files,
        num_cells=plan.num_cells,
        num_done=len(plan.done),
        num_waiting=len(plan.waiting),
    )


def _write(outlook: Outlook, folder: Path, epoch: int) -> tuple[Path, ...]:
    plan, _ = outlook.available()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob(PATTERN):
            old.unlink()
        files = []
        for number, pack in enumerate(plan.packs):
            path = folder / f"pack-{number:04d}.json"
            path.write_text(dumps(_spec(pack, epoch)) + "\n", encoding="utf-8")
            files.append(path)
    except OSError as error:
        raise EnvironmentProblem(f"{folder}: cannot be written ({error.strerror})") from error
    return tuple(files)


def _spec(pack: PlannedPack, epoch: int) -> PackSpec:
    """The pack as its task gets it: the first attempt of a new epoch, so that older results never win over it."""
    cells = tuple(PackedCell(cell=planned.cell, epoch=epoch, attempt=1) for planned in pack.cells)
    return PackSpec(pack_id=f"a-{pack.pack_id}", base_key=pack.base_key, cells=cells, resources=pack.resources)
