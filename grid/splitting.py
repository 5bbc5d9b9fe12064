"""The end of a run: devices stand idle while long packs go on, so packs give up cells that then go on elsewhere.

Pure decisions over the queue, from what the trials tell: no Ray, no files. Plans rest on estimates, and cells stop
early; how fast a pack really is shows only while it runs.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from grid.deadlines import SPLIT
from grid.queue import Queue
from jobs.spec import CellSpec, Command, CommandKind, Event, EventKind

SETTLED = frozenset({EventKind.CELL_FINISHED, EventKind.CELL_FAILED})
_ORDER_OPEN_S = 60.0
"""A pack that was asked for cells is left alone for so long: they come back when its engines stand still."""


@dataclass
class _Pace:
    """What is known of one running pack."""

    began_s: float | None = None
    """When its first cell started: loading tells nothing about the speed of training."""
    settled: float = 0.0
    """Estimated seconds of the cells that are through."""
    live_share: float = 0.0
    """How far its cells in training are, all together."""
    asked_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class _Rest:
    """What a pack still has to do, in seconds by the clock at its own pace."""

    pack_id: str
    by_cell: dict[str, float]
    """Of cells that can be moved."""
    fixed_s: float
    """Of the others."""

    @property
    def seconds(self) -> float:
        return self.fixed_s + sum(self.by_cell.values())


@dataclass
class Splitter:
    """Decides which cells running packs give up to idle devices."""

    queue: Queue
    estimate: Callable[[CellSpec], float]
    """Seconds of a cell; only their proportions count."""
    least_s: float | None = None
    """A part is not worth moving below it: its base must be loaded there first. None: SPLIT."""
    clock: Callable[[], float] = time.monotonic
    _paces: dict[str, _Pace] = field(default_factory=dict)

    def on_event(self, event: Event) -> None:
        """Follow an event before the queue does."""
        if event.kind in (EventKind.PACK_FINISHED, EventKind.PACK_LOST):
            self._paces.pop(event.pack_id, None)
            return
        pace = self._paces.setdefault(event.pack_id, _Pace())
        if event.kind is EventKind.CELL_STARTED and pace.began_s is None:
            pace.began_s = self.clock()
        elif event.kind in SETTLED:
            open_cells = self.queue.open_cells(event.pack_id)
            pace.settled += sum(self.estimate(p.cell) for p in open_cells if p.cell.cell_id == event.cell_id)
        elif event.kind is EventKind.HEARTBEAT and (total := event.data.get("total_steps")):
            pace.live_share = min(1.0, float(event.data.get("step", 0)) / float(total))

    def num_loading(self) -> int:
        """Packs that were handed out and have not begun: devices that look idle may be meant for them."""
        begun = {pack_id for pack_id, pace in self._paces.items() if pace.began_s is not None}
        return sum(pack.pack_id not in begun for pack in self.queue.running_packs())

    def commands(self, idle: int) -> list[tuple[str, Command]]:
        """Say which packs give up which cells.

        Args:
            idle: packs that could start now, beside those that were handed out.

        Returns:
            commands by pack id; none while packs wait in the queue. The queue is told what to expect.
        """
        wait_s = self.queue.wait_s
        if idle <= 0 or wait_s == 0:
            return []
        least_s = SPLIT.seconds if self.least_s is None else self.least_s
        rests = [rest for pack in self.queue.running_packs() if (rest := self._rest(pack.pack_id)) is not None]
        commands = []
        for rest, parts in _shared_out(rests, idle, least_s):
            groups = _deal(rest, parts, least_s)
            if groups:
                self.queue.ask_back(rest.pack_id, groups)
                self._paces[rest.pack_id].asked_s = self.clock()
                cell_ids = tuple(cell_id for group in groups for cell_id in group)
                commands.append((rest.pack_id, Command(kind=CommandKind.GIVE_UP_CELLS, cell_ids=cell_ids)))
        return commands

    def _rest(self, pack_id: str) -> _Rest | None:
        """None where nothing can be said yet, or cells are on their way back."""
        pace, now_s = self._paces.get(pack_id), self.clock()
        if pace is None or pace.began_s is None:
            return None
        if pace.asked_s is not None and now_s - pace.asked_s < _ORDER_OPEN_S:
            return None
        live = self.queue.live_cells(pack_id)
        estimates = {p.cell.cell_id: self.estimate(p.cell) for p in self.queue.open_cells(pack_id)}
        in_training = sum(seconds for cell_id, seconds in estimates.items() if cell_id in live)
        done = pace.settled + pace.live_share * in_training
        if done <= 0:
            return None
        factor = (now_s - pace.began_s) / done
        waiting = {cell_id: seconds * factor for cell_id, seconds in estimates.items() if cell_id not in live}
        training = {
            cell_id: estimates[cell_id] * factor * (1 - pace.live_share) for cell_id in estimates if cell_id in live
        }
        if waiting:
            return _Rest(pack_id=pack_id, by_cell=waiting, fixed_s=sum(training.values()))
        return _Rest(pack_id=pack_id, by_cell=training, fixed_s=0.0)


def _shared_out(rests: Sequence[_Rest], idle: int, least_s: float) -> list[tuple[_Rest, int]]:
    """Idle devices go one by one to the pack whose parts are the longest."""
    heap = [(-rest.seconds, index, 1) for index, rest in enumerate(rests)]
    heapq.heapify(heap)
    for _ in range(idle):
        if not heap:
            break
        _, index, parts = heap[0]
        if rests[index].seconds / (parts + 1) < least_s:
            break
        heapq.heapreplace(heap, (-rests[index].seconds / (parts + 1), index, parts + 1))
    return sorted(((rests[index], parts) for _, index, parts in heap if parts > 1), key=lambda item: item[0].pack_id)


def _deal(rest: _Rest, parts: int, least_s: float) -> list[tuple[str, ...]]:
    """Deal cells into parts of about equal time, the longest first; the first part stays where it is."""
    groups: list[list[str]] = [[] for _ in range(parts)]
    loads = [(rest.fixed_s if part == 0 else 0.0, part) for part in range(parts)]
    heapq.heapify(loads)
    for cell_id in sorted(rest.by_cell, key=lambda cell_id: -rest.by_cell[cell_id]):
        load, part = heapq.heappop(loads)
        groups[part].append(cell_id)
        heapq.heappush(loads, (load + rest.by_cell[cell_id], part))
    moved = [group for group in groups[1:] if sum(rest.by_cell[cell_id] for cell_id in group) >= least_s / 2]
    stays_empty = rest.fixed_s == 0 and not groups[0]
    return [] if stays_empty else [tuple(group) for group in moved]
