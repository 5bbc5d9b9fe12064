"""The engines of a pack: which cell sits where, and how engines share the processor's cores.

On a CPU every core has an engine of its own with one thread: operations on short texts are too small to be
split. On a GPU there is one engine. Strategy full and stock classifiers have one engine with all cores, one cell at a
time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import torch

from jobs.models.head import head_shapes
from jobs.models.loading import Base
from jobs.spec import PackedCell, Strategy
from jobs.training.adapters import adapter_shapes
from jobs.training.bank import RowLayout, Shapes
from jobs.training.cell_run import CellRun
from jobs.training.engine import PackEngine
from jobs.training.engines import engine_class
from jobs.training.progress import Progress, advance
from jobs.training.slot_choice import AUTOMATIC_SLOTS
from jobs.training.slots import RowState

HOST = torch.device("cpu")
ROUND_S = 2.0
"""How long engines work before the driver hears of them."""


@dataclass(frozen=True, kw_only=True)
class SetAside:
    """A cell that is in no engine for want of memory and goes on, or begins, when there is room again."""

    run: CellRun
    state: RowState | None
    """None: it never was in an engine."""


class Room:
    """The engines that share one base, and the cells in them."""

    def __init__(self, base: Base, first: PackedCell, waiting: deque[PackedCell], *, cpus: int) -> None:
        """Make no engine yet: a row's width follows from the cells.

        Args:
            base: what all cells share.
            first: any cell of the pack; strategy and compute settings are the pack's.
            waiting: cells that will come; the room looks at them to size its rows.
            cpus: cores of the pack.
        Side effects:
            sets the number of torch's threads; `close` resets it.
        """
        cell = first.cell
        self.base = base
        self.is_exact = base.compute.numerics == "exact"
        self._is_alone = cell.strategy is Strategy.FULL or base.is_stock
        """One cell at a time, with all cores."""
        self.slots = 1 if self._is_alone else cell.compute.slots or AUTOMATIC_SLOTS
        self.engines: list[PackEngine] = []
        self.aside: deque[SetAside] = deque()
        """They come before the cells that have not begun."""
        self._engine_slots: int | None = None
        """Most cells of a new engine after one ran out of memory."""
        self._kind = engine_class(cell.strategy, base)
        self._waiting = waiting
        self._cpus = cpus
        self._workers = _workers(base, cell.strategy, cpus)
        # Exact numbers must not depend on the number of threads: one a cell, several cells at a time.
        torch.set_num_threads(1 if self._workers > 1 or self._is_single_threaded() else cpus)
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="engine")
        self._busy: dict[Future[Progress], PackEngine] = {}

    def _is_single_threaded(self) -> bool:
        return self.is_exact and not self._is_alone and self.base.compute.device.type == "cpu"

    def close(self) -> None:
        """Leave the base as it was found, for the next pack: no threads, no cell's weights in it."""
        self._pool.shutdown()
        torch.set_num_threads(self._cpus)
        for engine in self.engines:
            for run in list(engine.live):
                engine.release(run)

    @property
    def live(self) -> list[CellRun]:
        """All cells in flight."""
        return [run for engine in self.engines for run in engine.live]

    @property
    def workers(self) -> int:
        """Engines that work side by side."""
        return self._workers

    @property
    def idle(self) -> list[PackEngine]:
        """Engines that no thread works on: only those may be changed."""
        busy = set(map(id, self._busy.values()))
        return [engine for engine in self.engines if id(engine) not in busy]

    def has_room(self) -> bool:
        """True when another cell can be admitted now."""
        if len(self.live) >= self.slots:
            return False
        return len(self.engines) < self._workers or not self.mixes or any(e.slots > len(e.live) for e in self.idle)

    @property
    def mixes(self) -> bool:
        """Whether one engine may hold several cells without a change of any cell's promised numbers."""
        return not self.is_exact or self.base.rows_keep_their_bits

    def place(self, run: CellRun, state: RowState | None = None) -> None:
        """Put a cell where least work waits: into an idle engine that has room for it, or into a new one."""
        fitting = [engine for engine in self.idle if engine.has_room_for(run)] if self.mixes else []
        if len(self.engines) < self._workers or not fitting:
            fitting = [self._new_engine(run)]
            self.engines += fitting
        min(fitting, key=_steps_left).admit(run, state)

    def set_aside(self, engine: PackEngine, runs: Sequence[CellRun]) -> None:
        """Take some cells out of an idle engine; it will not hold more than those that stay."""
        for run in runs:
            self.aside.append(SetAside(run=run, state=engine.state_of(run, HOST)))
            engine.release(run)
        engine.slots = len(engine.live)
        self._engine_slots = min(engine.slots, self._engine_slots or engine.slots)
        unmade = max(0, self._workers - len(self.engines))
        self.slots = min(self.slots, sum(e.slots for e in self.engines) + unmade * self._engine_slots)

    def hold_back(self, cell: SetAside) -> None:
        """There was no memory to admit a cell: it waits, and no more cells come in than are in flight now."""
        self.aside.appendleft(cell)
        self.slots = len(self.live)

    def _new_engine(self, run: CellRun) -> PackEngine:
        if not self.mixes or self.slots == 1:
            return self._kind(self.base, None, slots=1)
        most = min(-(-self.slots // self._workers), self._engine_slots or self.slots)
        if self.is_exact:
            return self._kind(self.base, None, slots=most)
        layout = RowLayout([run.shapes, *(other.run.shapes for other in self.aside), *self._waiting_shapes(run)])
        return self._kind(self.base, layout, slots=min(most, len(self.aside) + len(self._waiting) + 1))

    def _waiting_shapes(self, run: CellRun) -> Iterator[Shapes]:
        """Upper bounds for the cells that wait: their adapters, and heads of their declared label counts."""
        for packed in self._waiting:
            cell = packed.cell
            labels = cell.data.num_labels or run.num_labels
            head = head_shapes(self.base.family, self.base.hidden, labels)
            shapes: Shapes = {f"head.{name}": shape for name, shape in head.items()}
            if cell.strategy.has_adapters and cell.lora is not None:
                shapes |= adapter_shapes(self.base, cell.lora)
            yield shapes

    @property
    def _anybody_waits(self) -> bool:
        return bool(self._waiting or self.aside)

    def leave(self, engine: PackEngine, run: CellRun) -> None:
        """Free a cell's slot; an engine nobody is in gives its memory back."""
        engine.release(run)
        if not engine.live and (self.is_exact or self.slots == 1 or not self._anybody_waits):
            self.engines.remove(engine)

    def advance(self, *, wait_s: float) -> Iterator[Progress]:
        """Set idle engines to work and tell what those that came to a stop have done.

        Args:
            wait_s: how long to wait for the first of them.
        Yields:
            what happened; the engine stands still until the next call.
        """
        if self._workers == 1:
            yield from (advance(engine, duration_s=0.0) for engine in list(self.engines))
            return
        self.set_to_work()
        done, _ = wait(self._busy, timeout=wait_s, return_when=FIRST_COMPLETED)
        for future in done:
            del self._busy[future]
            yield future.result()

    def set_to_work(self) -> None:
        """Hand every idle engine to a thread of its own."""
        if self._workers == 1:
            return
        self._share_out()
        moment_s = ROUND_S * min(1.0, self._workers / max(1, len(self.engines)))
        for engine in self.idle:
            if engine.live:
                self._busy[self._pool.submit(advance, engine, duration_s=moment_s)] = engine

    def settle(self) -> Iterator[Progress]:
        """Wait until every engine stands still."""
        for future in list(self._busy):
            del self._busy[future]
            yield future.result()

    def _share_out(self) -> None:
        """When nobody waits and a core has nothing to do, split the cells of an engine that has several."""
        if self._anybody_waits or not self.mixes or len([e for e in self.engines if e.live]) >= self._workers:
            return
        fullest = max(self.idle, key=lambda engine: len(engine.live), default=None)
        if fullest is None or len(fullest.live) < 2:
            return
        ranked = sorted(fullest.live, key=lambda run: run.total_steps - run.step)
        moving = ranked[1::2]
        layout = None if self.is_exact else RowLayout([run.shapes for run in moving])
        other = self._kind(self.base, layout, slots=len(moving))
        for run in moving:
            state = fullest.state_of(run)
            fullest.release(run)
            other.admit(run, state)
        self.engines.append(other)


def _workers(base: Base, strategy: Strategy, cpus: int) -> int:
    """Threads that work on engines side by side."""
    if base.compute.device.type != "cpu" or base.is_stock or strategy in (Strategy.FULL, Strategy.HEAD):
        return 1
    return max(1, cpus)


def _steps_left(engine: PackEngine) -> int:
    return sum(run.total_steps - run.step for run in engine.live)
