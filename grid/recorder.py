"""The driver's book-keeping: every event goes through here into store, queue and progress view.

Order matters: a result is in the index before the queue calls its cell finished, and an attempt is
in the index before a runner may begin it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from grid.queue import Batch, Limits, Queue, Verdict, is_of_attempt
from jobs.spec import Event, EventKind, FailureKind, PackedCell, PackSpec
from jobs.storage import AttemptName, DamagedResult, Layout, results_of


class AttemptStore(Protocol):
    """The part of `grid.store.Store` that follows attempts."""

    def start(self, packed: Sequence[PackedCell], pack_id: str, log: str) -> None:
        """Record attempts before they begin."""
        ...

    def next_attempt(self, cell_id: str) -> int:
        """Number for the next attempt in this epoch."""
        ...

    def ingest(self, folder: Path) -> bool:
        """Take a complete result folder into the index."""
        ...

    def fail(self, cell_id: str, epoch: int, attempt: int, kind: FailureKind, reason: str, log: str) -> Path | None:
        """Record a failed attempt; the folder of its result, when that was found and made the cell done instead."""
        ...

    def interrupt(self, cell_id: str, epoch: int, attempt: int) -> Path | None:
        """Record an attempt given back unfinished; same answer as `fail`."""
        ...


Watcher = Callable[[Event, PackedCell | None], None]
"""Sees every event that counts, with the cell it speaks of: the progress view."""


class Recorder:
    """One run's queue and the store that follows it."""

    def __init__(
        self,
        store: AttemptStore,
        layout: Layout,
        batches: Sequence[Batch],
        *,
        epoch: int,
        watch: Watcher = lambda event, packed: None,
        limits: Limits | None = None,
    ) -> None:
        """Build the queue over the planned batches."""
        self._store = store
        self._layout = layout
        self._epoch = epoch
        self._watch = watch
        self.queue = Queue(batches, epoch=epoch, attempts=store.next_attempt, hand_out=self._hand_out, limits=limits)

    def on_event(self, event: Event) -> None:
        """Follow one event of a runner; events of attempts that are over are dropped.

        Raises:
            FineGridError: the store cannot be written.
        """
        if event.kind in (EventKind.PACK_FINISHED, EventKind.PACK_LOST):
            self._recover(event.pack_id)
        packed = self._open_cell(event)
        if event.cell_id is not None and packed is None:
            return
        if packed is not None:
            event = self._record(event, packed)
        for verdict in self.queue.on_event(event):
            self._record_verdict(event, verdict)
        self._watch(event, packed)

    def _hand_out(self, pack: PackSpec) -> None:
        self._store.start(pack.cells, pack.pack_id, self._log(pack.pack_id))

    def _log(self, pack_id: str) -> str:
        return self._layout.relative(self._layout.pack_log(self._epoch, pack_id))

    def _open_cell(self, event: Event) -> PackedCell | None:
        if event.cell_id is None:
            return None
        found = (p for p in self.queue.open_cells(event.pack_id) if p.cell.cell_id == event.cell_id)
        packed = next(found, None)
        return packed if packed is not None and is_of_attempt(event, packed) else None

    def _record(self, event: Event, packed: PackedCell) -> Event:
        """Write what the event says, and correct it.

        A result that cannot be read becomes a failure to be tried again. An attempt that did not end well by its own
        account, and whose result is there all the same, has finished: the answer to its last upload was lost, say.
        """
        cell_id, epoch, attempt = packed.cell.cell_id, packed.epoch, packed.attempt
        folder = None
        if event.kind is EventKind.CELL_FINISHED:
            try:
                self._store.ingest(Path(event.data["folder"]))
            except DamagedResult as error:
                data = {"kind": FailureKind.TRANSIENT, "reason": str(error)}
                return self._record(replace(event, kind=EventKind.CELL_FAILED, data=data), packed)
        elif event.kind is EventKind.CELL_FAILED:
            kind = FailureKind(event.data["kind"])
            log = str(event.data.get("log") or self._log(event.pack_id))
            folder = self._store.fail(cell_id, epoch, attempt, kind, str(event.data.get("reason", "")), log)
        elif event.kind is EventKind.CELL_INTERRUPTED:
            folder = self._store.interrupt(cell_id, epoch, attempt)
        return event if folder is None else _found(event.pack_id, packed, folder)

    def _record_verdict(self, event: Event, verdict: Verdict) -> None:
        packed = verdict.packed
        key = (packed.cell.cell_id, packed.epoch, packed.attempt)
        log = str(event.data.get("log") or self._log(event.pack_id))
        if verdict.kind is None:
            folder = self._store.interrupt(*key)
        else:
            folder = self._store.fail(*key, verdict.kind, verdict.reason, log)
        if folder is not None:  # a trial that was given up on, and lives, published it just now
            self.queue.finish(packed.cell.cell_id)
            self._watch(_found(event.pack_id, packed, folder), packed)
        elif verdict.kind is not None:
            data = {"kind": str(verdict.kind), "reason": verdict.reason, "log": log}
            told = Event(kind=EventKind.CELL_FAILED, pack_id=event.pack_id, cell_id=packed.cell.cell_id, data=data)
            self._watch(told, packed)

    def _recover(self, pack_id: str) -> None:
        """A trial may die between publishing a result and telling: look for what its cells left."""
        for packed in self.queue.open_cells(pack_id):
            for folder in results_of(self._layout, packed.cell.cell_id):
                name = AttemptName.parse(folder.name)
                if name is not None and (name.epoch, name.attempt) == (packed.epoch, packed.attempt):
                    self.on_event(_found(pack_id, packed, folder))
                    break


def _found(pack_id: str, packed: PackedCell, folder: Path) -> Event:
    return Event(
        kind=EventKind.CELL_FINISHED,
        pack_id=pack_id,
        cell_id=packed.cell.cell_id,
        epoch=packed.epoch,
        attempt=packed.attempt,
        data={"folder": str(folder)},
    )
