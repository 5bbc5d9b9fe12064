"""FineGrid's arm: the column as one pack, in every combination of precision, base mode and numerics."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from column import Column

from grid.devices import local_devices
from grid.plan import make_plan
from jobs.pack_log import PackLog
from jobs.spec import ComputeSpec, PackedCell, PackSpec, dumps
from jobs.training.cell_run import CellData, CellRun, start_cell
from jobs.training.room import Room
from jobs.trial import Desk, Workshop

PRECISIONS = ("bf16", "fp32")
BASES = ("resident", "quantized")
NUMERICS = ("fast", "exact")
SLOTS = 24
"""Declared, so that no arm pays for the probe that a first grid on a machine runs once."""


@dataclass(frozen=True, kw_only=True)
class Mode:
    """One way to compute a pack."""

    precision: str
    base: str
    numerics: str

    @property
    def name(self) -> str:
        """Such as bf16-resident-fast."""
        return f"{self.precision}-{self.base}-{self.numerics}"

    def compute(self, *, device: str, slots: int | None = None, reload_check: bool = False) -> ComputeSpec:
        """The compute settings of a cell in this mode."""
        return ComputeSpec(
            precision=self.precision,
            base=self.base,
            numerics=self.numerics,
            device=device,
            slots=slots,
            reload_check=reload_check,
            cost_probe=False,
        )


ALL_MODES = tuple(Mode(precision=p, base=b, numerics=n) for p, b, n in itertools.product(PRECISIONS, BASES, NUMERICS))


def modes_named(names: Sequence[str]) -> tuple[Mode, ...]:
    """Look modes up; `all` stands for every one.

    Raises:
        ValueError: no such mode; names those there are.
    """
    if list(names) == ["all"]:
        return ALL_MODES
    known = {mode.name: mode for mode in ALL_MODES}
    if unknown := sorted(set(names) - set(known)):
        raise ValueError(f"no such mode: {', '.join(unknown)}; known: {', '.join(known)}")
    return tuple(known[name] for name in dict.fromkeys(names))


@dataclass(frozen=True, kw_only=True)
class ColumnRun:
    """One arm's way through the column."""

    seconds: float
    """Training, evaluations, test and (FineGrid only) writing of results; without loading models."""
    load_seconds: float
    test_logits: dict[str, np.ndarray]
    """cell_id -> float32 [rows, classes]."""


def run_column(column: Column, mode: Mode, *, device: str, threads: int, reload_check: bool = False) -> ColumnRun:
    """Train the whole column as FineGrid's planner lays it out: on a CPU one pack and one process a core.

    Args:
        column: the cells.
        mode: how they are computed.
        device: cpu | cuda.
        threads: cores of the machine that are used.
        reload_check: have every exported cell reloaded in another process, which the baseline does not do.
    Returns:
        time from the start signal, given when every process has its base and its rows, to the last process' end.
    Raises:
        RuntimeError: a cell failed.
    """
    compute = mode.compute(device=device, slots=SLOTS, reload_check=reload_check)
    packs = planned_packs(column, compute, device=device, threads=threads)
    small = replace(packs[0], pack_id="warm-up", cells=(_short(packs[0].cells[0]),))
    with tempfile.TemporaryDirectory(prefix="packed-training-") as name:
        folder = Path(name)
        (folder / "warm-up.json").write_text(dumps(small), "utf-8")
        processes = [_start(folder, pack) for pack in packs]
        for process in processes:
            if _line(process) != "ready\n":
                raise RuntimeError(f"a pack's process ended with {process.wait()} before it was ready")
        started = time.perf_counter()
        for process in processes:
            print("go", file=process.stdin, flush=True)
        answers = [json.loads(_line(process) or "null") for process in processes]
        seconds = time.perf_counter() - started
        if failed := [process.wait() for process in processes if process.wait() != 0]:
            raise RuntimeError(f"packs ended with {failed}")
        folders = {cell_id: Path(path) for answer in answers for cell_id, path in answer["folders"].items()}
        logits = {cell.cell_id: _test_logits(folders[cell.cell_id]) for cell in column.cells}
    return ColumnRun(
        seconds=seconds, load_seconds=max(answer["load_seconds"] for answer in answers), test_logits=logits
    )


def planned_packs(column: Column, compute: ComputeSpec, *, device: str, threads: int) -> list[PackSpec]:
    """The packs that a grid of these cells would consist of on this machine."""
    machine = local_devices()
    cells = [replace(cell, compute=compute) for cell in column.cells]
    plan = make_plan(cells, {}, replace(machine, cpus=threads, gpus=machine.gpus if device == "cuda" else 0))
    return [
        PackSpec(
            pack_id=pack.pack_id,
            base_key=pack.base_key,
            cells=tuple(PackedCell(cell=planned.cell, epoch=1, attempt=1) for planned in pack.cells),
            resources=pack.resources,
        )
        for pack in plan.packs
    ]


def _short(packed: PackedCell) -> PackedCell:
    """The same cell with fewer steps: it warms a process up."""
    recipe = replace(packed.cell.recipe, epochs=1, eval_every=1 << 30)
    data = replace(packed.cell.data, num_samples=(packed.cell.data.num_labels or 2) * 4)
    return replace(packed, cell=replace(packed.cell, cell_id="f" * 16, recipe=recipe, data=data))


def _start(folder: Path, pack: PackSpec) -> subprocess.Popen[str]:
    path = folder / f"{pack.pack_id}.json"
    path.write_text(dumps(pack), "utf-8")
    command = [sys.executable, str(Path(__file__).with_name("pack_process.py"))]
    command += [str(folder / "warm-up.json"), str(path), str(folder / pack.pack_id)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(pack.resources.cpus)}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def _line(process: subprocess.Popen[str]) -> str:
    return process.stdout.readline() if process.stdout is not None else ""


def _test_logits(folder: Path) -> np.ndarray:
    table = pq.read_table(folder / "predictions.parquet", filters=[("split", "=", "test")])
    columns = [name for name in table.column_names if name.startswith("logit_")]
    return np.stack([table[name].to_numpy() for name in columns], axis=1)


class LivePack:
    """A pack that stands still between steps, for measurements of single steps."""

    def __init__(self, room: Room, pool: ThreadPoolExecutor | None) -> None:
        """Take over the engines of a room; the pool is for engines that work side by side."""
        self.room = room
        self._pool = pool

    @property
    def runs(self) -> list[CellRun]:
        """The cells in flight."""
        return self.room.live

    def step(self, *, side_by_side: bool = True) -> None:
        """One training step of every cell.

        Args:
            side_by_side: let engines share the cores as a trial does; the profiler sees one thread only.
        Raises:
            RuntimeError: a cell diverged, so the time of the step means nothing.
        """
        run = self._pool.map if self._pool is not None and side_by_side else map
        for diverged in list(run(lambda engine: engine.step(), self.room.engines)):
            if diverged:
                raise RuntimeError(f"cell {diverged[0].run.cell_id} diverged: {diverged[0].reason}")

    def tokens_trained(self) -> int:
        """Tokens trained so far, over all cells."""
        return sum(run.tokens_trained for run in self.runs)


@contextmanager
def live_pack(pack: PackSpec, data: Sequence[CellData], workshop: Workshop) -> Iterator[LivePack]:
    """Load the base and place every cell of a pack into engines, as a trial does.

    Args:
        pack: the cells; all of them run side by side.
        data: their rows, in the same order.
        workshop: folders and base.
    Yields:
        the pack before its first step.
    Side effects:
        sets the number of torch's threads, as a trial does.
    """
    threads = pack.resources.cpus
    torch.set_num_threads(threads)
    base = workshop.base_for(pack)
    with PackLog(workshop.layout.pack_log(1, pack.pack_id)) as log, ThreadPoolExecutor(threads) as pool:
        desk = Desk(pack, workshop, log, deque(pack.cells))
        room = Room(base, pack.cells[0], desk.waiting, cpus=threads)
        try:
            for rows in data:
                room.place(start_cell(desk.waiting.popleft(), rows, base))
            yield LivePack(room, pool if len(room.engines) > 1 and base.compute.device.type == "cpu" else None)
        finally:
            room.close()
