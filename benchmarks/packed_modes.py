"""FineGrid's arm: the column as one pack, in every combination of precision, base mode and numerics."""

from __future__ import annotations

import gc
import itertools
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from column import Column

from jobs.pack_log import PackLog
from jobs.spec import ComputeSpec, EventKind, PackSpec
from jobs.training.cell_run import CellData, CellRun, start_cell
from jobs.training.room import Room
from jobs.trial import Desk, Workshop, events_of

PRECISIONS = ("bf16", "fp32")
BASES = ("resident", "quantized")
NUMERICS = ("fast", "exact")


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


def run_column(
    column: Column, mode: Mode, *, device: str, threads: int, cache: Path, reload_check: bool = False
) -> ColumnRun:
    """Train the whole column as one pack through `jobs.trial`, from a freshly loaded base.

    Args:
        column: the cells.
        mode: how they are computed.
        device: cpu | cuda.
        threads: CPU threads of the pack.
        cache: FineGrid's cache folder.
        reload_check: have every exported cell reloaded in another process, which the baseline does not do.
    Returns:
        times and test logits of all cells.
    Raises:
        RuntimeError: a cell failed.
    """
    gc.collect()
    compute = mode.compute(device=device, reload_check=reload_check)
    pack = column.pack(compute, threads=threads, gpus=1.0 if device == "cuda" else 0.0)
    with tempfile.TemporaryDirectory(prefix="packed-training-") as folder:
        workshop = Workshop(Path(folder), cache)
        started = time.perf_counter()
        workshop.base_for(pack)
        loaded = time.perf_counter()
        folders = _finish(pack, workshop)
        ended = time.perf_counter()
        logits = {cell_id: _test_logits(path) for cell_id, path in folders.items()}
    return ColumnRun(
        seconds=ended - loaded,
        load_seconds=loaded - started,
        test_logits=logits,
    )


def _finish(pack: PackSpec, workshop: Workshop) -> dict[str, Path]:
    folders: dict[str, Path] = {}
    for event in events_of(pack, workshop):
        if event.kind is EventKind.CELL_FINISHED and event.cell_id is not None:
            folders[event.cell_id] = Path(str(event.data["folder"]))
        if event.kind in (EventKind.CELL_FAILED, EventKind.CELL_INTERRUPTED):
            raise RuntimeError(f"cell {event.cell_id} did not finish: {dict(event.data)}")
    if missing := {packed.cell.cell_id for packed in pack.cells} - set(folders):
        raise RuntimeError(f"no result of cells {sorted(missing)}")
    return folders


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
