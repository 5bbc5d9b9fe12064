"""Which cell is where during one run: ready, running, waiting for a retry, or finished.

Pure bookkeeping: no clock of its own, no files, no Ray. A runner asks `next_pack` for work; every
event of a trial goes through `on_event`, which answers with a verdict for each cell whose trial
ended without telling its fate.

When a pack is lost, the cells that were in flight are the suspects and the others go on without
blame. Suspects are first tried together once more (most deaths are nobody's fault), then in
halves, and only a cell that is the single suspect can use up its tries.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from jobs.spec import CellSpec, Event, EventKind, FailureKind, PackedCell, PackSpec, Resources

ISOLATED_KINDS = frozenset({FailureKind.BUG, FailureKind.DIVERGED, FailureKind.OUT_OF_MEMORY})
"""Failures of a whole pack that one cell may have caused: the suspects are tried again in halves."""


class Place(StrEnum):
    """Where a cell stands in this run."""

    READY = "ready"
    RUNNING = "running"
    RETRY = "retry"
    FINISHED = "finished"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How often and how fast something is tried again within one run."""

    max_tries: int = 3
    """Transient failures, or lost workers with this cell as the single suspect, before it is failed."""
    backoff_s: float = 2.0
    """Wait before the first retry; each further one waits four times as long."""
    max_backoff_s: float = 60.0

    def wait_s(self, tries: int) -> float:
        """Seconds to wait after the given number of failed tries (1, 2, ...)."""
        return float(min(self.max_backoff_s, self.backoff_s * 4 ** (tries - 1)))


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Cells that wait to be handed out together."""

    cells: tuple[CellSpec, ...]
    base_key: str
    resources: Resources = field(default_factory=Resources)
    due_s: float = 0.0
    """Clock time before which it is not handed out; above 0 only for retries."""
    losses: int = 0
    """Packs lost with these cells under suspicion; above 0 they are not mixed with others."""
    group: str = ""
    """Names cells that were asked back to go on together elsewhere; others do not join them."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the queue decided about a cell whose trial ended without telling its fate."""

    packed: PackedCell
    kind: FailureKind | None = None
    """None: the cell bears no blame and counts as interrupted."""
    reason: str = ""
    is_final: bool = False
    """False: it is tried again in this run."""


@dataclass
class _Running:
    pack: PackSpec
    batch: Batch
    open: dict[str, PackedCell]
    """Cells whose fate is not known yet, by cell id."""
    live: set[str] = field(default_factory=set)
    groups: dict[str, str] = field(default_factory=dict)
    """Of cells that were asked back: which of them shall go on together."""


class Queue:
    """The packs of one run and the whereabouts of every cell in them."""

    def __init__(
        self,
        batches: Sequence[Batch],
        *,
        epoch: int,
        attempts: Callable[[str], int],
        hand_out: Callable[[PackSpec], None] = lambda pack: None,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take over the planned batches, in the order in which they shall run.

        Args:
            batches: disjoint groups of cells.
            epoch: the run's claimed epoch, written on every cell handed out.
            attempts: gives the next attempt number of a cell id.
            hand_out: called with each pack before a runner gets it, to record it durably.
            limits: retries and waiting times.
            clock: seconds that never go back.

        Raises:
            ValueError: a cell stands in two batches.
        """
        self._epoch = epoch
        self._attempts = attempts
        self._hand_out = hand_out
        self._limits = limits or Limits()
        self._clock = clock
        self._waiting: list[Batch] = [batch for batch in batches if batch.cells]
        self._running: dict[str, _Running] = {}
        self._finished: set[str] = set()
        self._tries: Counter[str] = Counter()
        self._num_packs = 0
        self._num_cells = sum(len(batch.cells) for batch in self._waiting)
        if len(set(self._ids(self._waiting))) != self._num_cells:
            raise ValueError("a cell stands in two packs of the plan")

    @property
    def is_finished(self) -> bool:
        """True when every cell has its final outcome for this run."""
        return not self._waiting and not self._running

    @property
    def num_finished(self) -> int:
        """Cells with a final outcome."""
        return len(self._finished)

    @property
    def num_running_packs(self) -> int:
        """Packs handed out and not ended."""
        return len(self._running)

    @property
    def wait_s(self) -> float | None:
        """Seconds until a batch is due: 0 when one is, None when nothing waits."""
        if not self._waiting:
            return None
        return max(0.0, min(batch.due_s for batch in self._waiting) - self._clock())

    def waiting_requests(self) -> set[Resources]:
        """Every distinct request for resources among the batches that wait."""
        return {batch.resources for batch in self._waiting}

    def running_packs(self) -> tuple[PackSpec, ...]:
        """Packs handed out and not ended."""
        return tuple(running.pack for running in self._running.values())

    def open_cells(self, pack_id: str) -> tuple[PackedCell, ...]:
        """Cells of a running pack whose fate is not known; empty when it has ended."""
        running = self._running.get(pack_id)
        return tuple(running.open.values()) if running else ()

    def live_cells(self, pack_id: str) -> frozenset[str]:
        """Ids of a running pack's cells that have started and have no fate yet."""
        running = self._running.get(pack_id)
        return frozenset(running.live) if running else frozenset()

    def ask_back(self, pack_id: str, groups: Sequence[Sequence[str]]) -> None:
        """Expect cells of a running pack to be given back, so that they go on elsewhere.

        Args:
            pack_id: of a pack that is told to give them up.
            groups: cell ids; each group becomes a pack of its own, cells that finish first are missing from it.
        """
        running = self._running[pack_id]
        for number, group in enumerate(groups):
            running.groups.update(dict.fromkeys(group, f"{pack_id}/{number}"))

    def places(self) -> dict[str, Place]:
        """Where every cell of the run stands, by cell id."""
        now_s = self._clock()
        places = dict.fromkeys(self._finished, Place.FINISHED)
        for batch in self._waiting:
            place = Place.RETRY if batch.due_s > now_s else Place.READY
            places.update((cell.cell_id, place) for cell in batch.cells)
        for running in self._running.values():
            places.update(dict.fromkeys(running.open, Place.RUNNING))
        return places

    def next_pack(self, warm_base: str | None = None) -> PackSpec | None:
        """Hand out the next pack that is due.

        Args:
            warm_base: base that a free worker still holds; its packs go first.

        Returns:
            the pack with its attempt numbers, or None when nothing is due now.
        Side effects:
            calls `hand_out` with the pack; when that raises, the batch keeps its place.
        """
        now_s = self._clock()
        due = [index for index, batch in enumerate(self._waiting) if batch.due_s <= now_s]
        if not due:
            return None
        index = next((index for index in due if self._waiting[index].base_key == warm_base), due[0])
        batch = self._waiting[index]
        pack = self._pack(batch)
        self._hand_out(pack)
        del self._waiting[index]
        self._num_packs += 1
        is_open = {packed.cell.cell_id: packed for packed in pack.cells}
        self._running[pack.pack_id] = _Running(pack=pack, batch=batch, open=is_open)
        return pack

    def on_event(self, event: Event) -> tuple[Verdict, ...]:
        """Follow one event of a trial; events of packs and attempts that are over change nothing.

        Args:
            event: as yielded by the trial, or PACK_LOST from the runner.

        Returns:
            a verdict for every cell that the end of its pack left without a fate.
        """
        running = self._running.get(event.pack_id)
        if running is None:
            return ()
        if event.kind is EventKind.PACK_LOST:
            kind = FailureKind(event.data.get("kind", FailureKind.TRANSIENT))
            return self._lose(running, kind, str(event.data.get("reason", "")))
        if event.kind is EventKind.PACK_FINISHED:
            return self._close(running)
        packed = running.open.get(event.cell_id or "")
        if packed is not None and is_of_attempt(event, packed):
            self._on_cell_event(running, packed, event)
        return ()

    def _on_cell_event(self, running: _Running, packed: PackedCell, event: Event) -> None:
        cell_id = packed.cell.cell_id
        if event.kind is EventKind.CELL_STARTED:
            running.live.add(cell_id)
        elif event.kind is EventKind.CELL_FINISHED:
            self._settle(running, cell_id)
        elif event.kind is EventKind.CELL_FAILED:
            self._fail(running, packed, FailureKind(event.data.get("kind", FailureKind.BUG)))
        elif event.kind is EventKind.CELL_INTERRUPTED:
            self._take_out(running, cell_id)
            self._rejoin(replace(running.batch, group=running.groups.get(cell_id, "")), [packed.cell])

    def finish(self, cell_id: str) -> None:
        """Hand a cell that waits out no more: its result was found after the verdict on it."""
        rest = [replace(b, cells=tuple(c for c in b.cells if c.cell_id != cell_id)) for b in self._waiting]
        self._waiting = [batch for batch in rest if batch.cells]
        self._finished.add(cell_id)

    def _pack(self, batch: Batch) -> PackSpec:
        cells = tuple(
            PackedCell(cell=cell, epoch=self._epoch, attempt=self._attempts(cell.cell_id)) for cell in batch.cells
        )
        pack_id = f"p{self._num_packs + 1:05d}"
        return PackSpec(pack_id=pack_id, base_key=batch.base_key, cells=cells, resources=batch.resources)

    def _take_out(self, running: _Running, cell_id: str) -> None:
        del running.open[cell_id]
        running.live.discard(cell_id)

    def _settle(self, running: _Running, cell_id: str) -> None:
        self._take_out(running, cell_id)
        self._finished.add(cell_id)

    def _fail(self, running: _Running, packed: PackedCell, kind: FailureKind) -> None:
        """A cell failed by itself: transient ones wait and return, memory gets one solo try."""
        cell = packed.cell
        if kind is FailureKind.TRANSIENT and self._count_try(cell):
            self._take_out(running, cell.cell_id)
            self._retry_later(running.batch, cell)
        elif kind is FailureKind.OUT_OF_MEMORY and len(running.pack.cells) > 1:
            self._take_out(running, cell.cell_id)
            self._waiting.append(replace(running.batch, cells=(cell,), due_s=0.0, losses=0))
        else:
            self._settle(running, cell.cell_id)

    def _count_try(self, cell: CellSpec) -> bool:
        """Use up one try of a cell; False when none is left."""
        self._tries[cell.cell_id] += 1
        return self._tries[cell.cell_id] < self._limits.max_tries

    def _close(self, running: _Running) -> tuple[Verdict, ...]:
        """The trial says that it is through; cells it kept silent about are a bug, and visible."""
        silent = tuple(running.open.values())
        for packed in silent:
            self._settle(running, packed.cell.cell_id)
        del self._running[running.pack.pack_id]
        reason = "the trial ended without a word about this cell"
        return tuple(Verdict(packed=p, kind=FailureKind.BUG, reason=reason, is_final=True) for p in silent)

    def _lose(self, running: _Running, kind: FailureKind, reason: str) -> tuple[Verdict, ...]:
        del self._running[running.pack.pack_id]
        suspected = running.live or set(running.open)
        suspects = [packed for cell_id, packed in running.open.items() if cell_id in suspected]
        innocents = [packed for cell_id, packed in running.open.items() if cell_id not in suspected]
        self._rejoin(running.batch, [packed.cell for packed in innocents])
        verdicts = [Verdict(packed=packed, reason=f"its pack was lost: {reason}") for packed in innocents]
        judge = self._judge_lost_worker if kind is FailureKind.TRANSIENT else self._judge_raised_pack
        return (*verdicts, *judge(running, suspects, kind, reason))

    def _judge_lost_worker(
        self, running: _Running, suspects: list[PackedCell], kind: FailureKind, reason: str
    ) -> list[Verdict]:
        if len(suspects) == 1:
            cell = suspects[0].cell
            if not self._count_try(cell):
                self._finished.add(cell.cell_id)
                return [Verdict(packed=suspects[0], kind=kind, reason=reason, is_final=True)]
            self._retry_suspects(running.batch, [(cell,)], losses=self._tries[cell.cell_id])
        elif suspects:
            cells = tuple(packed.cell for packed in suspects)
            losses = running.batch.losses + 1
            self._retry_suspects(running.batch, [cells] if losses == 1 else _halves(cells), losses=losses)
        return [Verdict(packed=packed, kind=kind, reason=reason) for packed in suspects]

    def _judge_raised_pack(
        self, running: _Running, suspects: list[PackedCell], kind: FailureKind, reason: str
    ) -> list[Verdict]:
        """The trial raised: the same again would raise again, so a single suspect fails at once."""
        was_loading = not running.live and kind is not FailureKind.OUT_OF_MEMORY
        has_neighbours = kind is FailureKind.OUT_OF_MEMORY and len(running.pack.cells) > 1
        if kind in ISOLATED_KINDS and not was_loading and (len(suspects) > 1 or has_neighbours):
            for half in _halves([packed.cell for packed in suspects]):
                self._waiting.append(replace(running.batch, cells=half, due_s=0.0, losses=0))
            return [Verdict(packed=packed, reason=f"its pack was lost: {reason}") for packed in suspects]
        self._finished.update(packed.cell.cell_id for packed in suspects)
        return [Verdict(packed=packed, kind=kind, reason=reason, is_final=True) for packed in suspects]

    def _retry_suspects(self, batch: Batch, groups: Sequence[tuple[CellSpec, ...]], *, losses: int) -> None:
        due_s = self._clock() + self._limits.wait_s(losses)
        for group in groups:
            self._waiting.append(replace(batch, cells=group, due_s=due_s, losses=losses))

    def _retry_later(self, batch: Batch, cell: CellSpec) -> None:
        """A cell that failed for a passing reason waits, together with others that did."""
        now_s = self._clock()
        due_s = now_s + self._limits.wait_s(self._tries[cell.cell_id])
        for index, other in enumerate(self._waiting):
            is_waiting = other.due_s > now_s and other.losses == 0 and len(other.cells) < len(batch.cells)
            if is_waiting and _same_needs(other, batch):
                cells = (*other.cells, cell)
                self._waiting[index] = replace(other, cells=cells, due_s=max(due_s, other.due_s))
                return
        self._waiting.append(replace(batch, cells=(cell,), due_s=due_s, losses=0))

    def _rejoin(self, batch: Batch, cells: list[CellSpec]) -> None:
        """Cells given back go to the front, together with others of the same pack."""
        if not cells:
            return
        leftovers = replace(batch, cells=tuple(cells), due_s=0.0, losses=0)
        for index, other in enumerate(self._waiting if batch.group else self._waiting[:1]):
            is_alike = other.losses == 0 and other.due_s == 0.0 and other.group == batch.group
            if is_alike and _same_needs(other, leftovers) and len(other.cells) + len(cells) <= len(batch.cells):
                self._waiting[index] = replace(other, cells=(*other.cells, *cells))
                return
        self._waiting.insert(0, leftovers)

    @staticmethod
    def _ids(batches: Iterable[Batch]) -> list[str]:
        return [cell.cell_id for batch in batches for cell in batch.cells]


def is_of_attempt(event: Event, packed: PackedCell) -> bool:
    """True when an event speaks of this very attempt; numbers that it leaves out are taken as meant."""
    return event.epoch in (None, packed.epoch) and event.attempt in (None, packed.attempt)


def _same_needs(one: Batch, other: Batch) -> bool:
    return one.base_key == other.base_key and one.resources == other.resources


def _halves(cells: Sequence[CellSpec]) -> list[tuple[CellSpec, ...]]:
    middle = (len(cells) + 1) // 2
    return [half for half in (tuple(cells[:middle]), tuple(cells[middle:])) if half]
