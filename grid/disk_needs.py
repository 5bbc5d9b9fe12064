"""How much disk a plan takes, compared with how much is free: results, checkpoints of cells in flight, downloads."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from grid.estimate import cell_disk_bytes, parameters
from grid.plan import Plan, PlannedPack
from jobs.errors import Problem
from jobs.spec import CellSpec, Strategy

SPARE_BYTES = 200_000_000
"""Index, logs, tables and pictures."""
_STATES = 4
"""Parameters, two moments of the optimiser, the best state."""
_MOST_SLOTS = 16
"""Cells of a pack that train together and so have checkpoints, where nobody declared how many."""


def check_disk(plan: Plan, results: str, *, download_bytes: int = 0, downloads: Path | None = None) -> list[Problem]:
    """Compare a generous estimate with the free disk, each file system once.

    Args:
        plan: what is to run.
        results: results folder, or a URL, which is left to its own file system.
        download_bytes: what is to be fetched from the hub.
        downloads: where it goes.

    Returns:
        a problem for each file system that is too small.
    """
    wants: dict[int, list[tuple[str, Path, int]]] = {}
    places = []
    if plan.packs and "://" not in results:
        places.append(("--results", Path(results), SPARE_BYTES + _results_bytes(plan)))
    if downloads is not None and download_bytes:
        places.append(("the hub's cache", downloads, download_bytes))
    for name, path, num_bytes in places:
        existing = nearest_existing(path)
        wants.setdefault(existing.stat().st_dev, []).append((name, existing, num_bytes))
    return [problem for wanted in wants.values() if (problem := _compare(wanted)) is not None]


def nearest_existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _compare(wanted: list[tuple[str, Path, int]]) -> Problem | None:
    name, existing, _ = wanted[0]
    needed, free = sum(num_bytes for *_, num_bytes in wanted), shutil.disk_usage(existing).free
    if needed <= free:
        return None
    shares = ", ".join(f"{_gigabytes(num_bytes)} for {share}" for share, _, num_bytes in wanted)
    rule = f"about {_gigabytes(needed)} are needed ({shares}) and {_gigabytes(free)} are free"
    hint = "free some, or choose another folder with --results or HF_HOME; keep_weights: adapters keeps least"
    return Problem(name, rule, str(existing), hint)


def _results_bytes(plan: Plan) -> int:
    kept = sum(cell_disk_bytes(planned.cell) for pack in plan.packs for planned in pack.cells)
    at_once = sorted((_checkpoint_bytes(pack) for pack in plan.packs), reverse=True)[: plan.parallel]
    return kept + sum(at_once)


def _checkpoint_bytes(pack: PlannedPack) -> int:
    """Checkpoints that a pack's cells have while they train; those of finished cells are deleted."""
    compute = pack.cells[0].cell.compute
    if compute.checkpoint.every_s is None:
        return 0
    states = sorted((_state_bytes(planned.cell) for planned in pack.cells), reverse=True)
    strategy = pack.cells[0].cell.strategy
    slots = 1 if strategy is Strategy.FULL or strategy.is_stock else compute.slots or _MOST_SLOTS
    # One more than stay is there while it is written.
    return (compute.checkpoint.keep + 1) * sum(states[:slots])


def _state_bytes(cell: CellSpec) -> int:
    if cell.model is None:
        return 0
    if cell.strategy is Strategy.FULL:
        return _STATES * 4 * parameters(cell.model)[0]
    return _STATES * cell_disk_bytes(cell)


def describe_disk(places: Iterable[tuple[str, Path]]) -> list[tuple[str, str]]:
    """Name and free space of each place, for people."""
    described = []
    for name, path in places:
        existing = nearest_existing(path)
        described.append((name, f"{path}: {_gigabytes(shutil.disk_usage(existing).free)} free"))
    return described


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
