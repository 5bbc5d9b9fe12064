"""Counts of a run, kept from the events of its trials; knows nothing of screens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from jobs.spec import CellSpec, CellState, Event, EventKind

_AFTER: Final = {
    EventKind.CELL_STARTED: CellState.RUNNING,
    EventKind.CELL_FINISHED: CellState.DONE,
    EventKind.CELL_FAILED: CellState.FAILED,
    EventKind.CELL_INTERRUPTED: CellState.INTERRUPTED,
}


@dataclass(frozen=True, kw_only=True)
class _Pack:
    """What the last heartbeat of a pack said."""

    num_cells: int
    num_finished: int
    share: float
    """Steps made of all steps, 0 to 1."""


@dataclass
class Tally:
    """Counts of a run, kept from its events; knows nothing of screens."""

    titles: dict[str, str] = field(default_factory=dict)
    states: dict[str, CellState] = field(default_factory=dict)
    counts: Counter[CellState] = field(default_factory=Counter)
    num_done_before: int = 0
    num_waiting: int = 0
    packs: dict[str, _Pack] = field(default_factory=dict)
    pack_of: dict[str, str] = field(default_factory=dict)

    @property
    def num_total(self) -> int:
        """Cells of this run."""
        return len(self.states)

    @property
    def num_over(self) -> int:
        """Cells of this run that are done or failed."""
        return self.counts[CellState.DONE] + self.counts[CellState.FAILED]

    def plan(self, cells: Sequence[CellSpec], *, done: int, waiting: int) -> None:
        """Begin with the cells that are going to run."""
        self.titles = {cell.cell_id: cell.title for cell in cells}
        self.states = {cell.cell_id: CellState.PENDING for cell in cells}
        self.counts = Counter(self.states.values())
        self.num_done_before, self.num_waiting = done, waiting
        self.packs.clear()
        self.pack_of.clear()

    def take(self, event: Event) -> bool:
        """Follow one event.

        Returns:
            True when a cell of this run became done or failed.
        """
        if event.kind is EventKind.HEARTBEAT:
            self._heartbeat(event)
        elif event.kind in (EventKind.PACK_FINISHED, EventKind.PACK_LOST):
            self._end_pack(event.pack_id)
        elif event.kind in _AFTER and event.cell_id in self.states:
            return self._move(event.cell_id, _AFTER[event.kind], event.pack_id)
        return False

    def share(self) -> float:
        """Part of the run's work that is done, 0 to 1, unfinished cells counted by their steps."""
        if not self.states:
            return 1.0
        extra = sum(max(0.0, pack.num_cells * pack.share - pack.num_finished) for pack in self.packs.values())
        return min(1.0, (self.num_over + extra) / self.num_total)

    def _heartbeat(self, event: Event) -> None:
        data = event.data
        finished = int(data.get("finished", 0))
        num_cells = int(data.get("live", 0)) + int(data.get("waiting", 0)) + finished
        steps, total = float(data.get("step", 0)), float(data.get("total_steps", 0))
        share = min(1.0, steps / total) if total > 0 else 0.0
        self.packs[event.pack_id] = _Pack(num_cells=num_cells, num_finished=finished, share=share)

    def _end_pack(self, pack_id: str) -> None:
        self.packs.pop(pack_id, None)
        left = [cell_id for cell_id, pack in self.pack_of.items() if pack == pack_id]
        for cell_id in left:
            self._move(cell_id, CellState.INTERRUPTED, pack_id)

    def _move(self, cell_id: str, following: CellState, pack_id: str) -> bool:
        present = self.states[cell_id]
        if present in (CellState.DONE, following):
            return False
        self.counts[present] -= 1
        self.counts[following] += 1
        self.states[cell_id] = following
        if following is CellState.RUNNING:
            self.pack_of[cell_id] = pack_id
        else:
            self.pack_of.pop(cell_id, None)
        return following in (CellState.DONE, CellState.FAILED)
