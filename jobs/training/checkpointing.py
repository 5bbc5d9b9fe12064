"""The checkpoints of a pack: taken while engines stand still, written beside the training, found again at the start."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jobs.checkpoints import (
    CheckpointName,
    bring_checkpoint,
    checkpoints_of,
    newest_step,
    prune_checkpoints,
    remove_checkpoints,
    save_checkpoint,
    set_aside,
)
from jobs.durable import DamagedResult
from jobs.errors import classify, is_out_of_memory
from jobs.models.loading import Base
from jobs.spec import Event, EventKind, PackedCell
from jobs.storage import Layout
from jobs.training.cell_run import CellRun
from jobs.training.checkpoint_state import (
    CheckpointNotUsable,
    Snapshot,
    check_usable,
    read_snapshot,
    snapshot_of,
)
from jobs.training.engine import PackEngine
from jobs.training.room import HOST
from jobs.training.slots import RowState

if TYPE_CHECKING:
    from jobs.trial import Desk


@dataclass
class _Saved:
    """What is known of one cell's checkpoints."""

    step: int
    """Newest step that stands on the disk or is on its way there."""
    moment_s: float
    """When it was taken, by the monotonic clock; at first, when the cell came in."""


@dataclass
class _Writing:
    """A checkpoint on its way to the disk."""

    run: CellRun
    step: int
    step_before: int


@dataclass
class Checkpoints:
    """Saves the cells of a pack every so often, and finds what earlier attempts saved.

    Taking one stops training for a copy to the host's memory. One thread writes them, one after another; a checkpoint
    that cannot be written is a line in the log, never the end of a cell.
    """

    desk: Desk
    base: Base
    _saved: dict[str, _Saved] = field(default_factory=dict)
    _open: dict[Future[None], _Writing] = field(default_factory=dict)
    _removing: dict[Future[bool], str] = field(default_factory=dict)
    _leaving: list[CellRun] = field(default_factory=list)
    """Cells that were given up: they are free once their checkpoints stand."""

    def __post_init__(self) -> None:
        """Start no thread before the first checkpoint."""
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="checkpoints")

    def close(self) -> None:
        """Wait for what is being written; drop what has not begun."""
        self._pool.shutdown(cancel_futures=True)

    @property
    def _layout(self) -> Layout:
        return self.desk.workshop.layout

    # Finding

    def newest_step(self, packed: PackedCell) -> int:
        """Step of the newest checkpoint that a cell may go on from; 0 without one."""
        return newest_step(self._layout, packed.cell.cell_id, epoch=packed.epoch, attempt=packed.attempt)

    def restore(self, run: CellRun) -> RowState | None:
        """Put a cell back to its newest valid checkpoint that fits; what is passed over is told in the log.

        Args:
            run: the cell, at step 0.
        Returns:
            what an engine has to know to go on; None: the cell starts anew, and is as it was.
        Side effects:
            renames damaged checkpoints.
        """
        packed = run.packed
        found = checkpoints_of(self._layout, run.cell_id, epoch=packed.epoch, attempt=packed.attempt)
        for name, folder in reversed(found):
            try:
                bring_checkpoint(self._layout, folder)
                snapshot = read_snapshot(folder)
                check_usable(snapshot, run, self.base)
            except DamagedResult as error:
                aside = set_aside(folder)
                what = f"renamed to {aside.name}" if aside else "removed by another process meanwhile"
                self._log("checkpoint_damaged", run, f"{error}; {what}", step=name.step)
            except CheckpointNotUsable as error:
                self._log("checkpoint_not_usable", run, f"{folder.name}: {error}", step=name.step)
            else:
                state = snapshot.apply_to(run)
                text = f"goes on after step {run.step} of {run.total_steps}"
                self.desk.log.write("cell_resumed", text, cell_id=run.cell_id, step=run.step, checkpoint=folder.name)
                self._saved[run.cell_id] = _Saved(step=run.step, moment_s=time.monotonic())
                return state
        self._saved[run.cell_id] = _Saved(step=0, moment_s=time.monotonic())
        if found:
            self._log("cell_starts_anew", run, f"none of {len(found)} checkpoints can be used", step=0)
        return None

    # Taking

    def take_due(self, engines: Iterable[PackEngine]) -> None:
        """Save the cells that have not been saved for long enough.

        Args:
            engines: that stand still.
        """
        now_s = time.monotonic()
        for engine in engines:
            for run in engine.live:
                saved = self._saved[run.cell_id]
                every_s = run.packed.cell.compute.checkpoint.every_s
                is_due = every_s is not None and now_s - saved.moment_s >= every_s
                if is_due and not self._is_being_written(run):
                    self._take_from(engine, run)

    def take_all(self, engines: Iterable[PackEngine], aside: Iterable[tuple[CellRun, RowState | None]]) -> None:
        """Save every cell as it stands: the pack ends before them.

        Args:
            engines: that stand still.
            aside: cells in no engine, with what is known of them.
        """
        for engine in engines:
            for run in engine.live:
                self._take_from(engine, run)
        for run, state in aside:
            if state is not None:
                self._take(run, state)

    def give_back(self, engine: PackEngine, run: CellRun) -> None:
        """Save a cell that the driver wants back; `report` says that it is free once its checkpoint stands."""
        self._take_from(engine, run)
        self._leaving.append(run)

    def give_back_aside(self, run: CellRun, state: RowState | None) -> None:
        """As `give_back`, for a cell in no engine."""
        if state is not None:
            self._take(run, state)
        self._leaving.append(run)

    def forget(self, cell_id: str) -> None:
        """Remove a cell's checkpoints, behind those of it that are still being written."""
        self._saved.pop(cell_id, None)
        self._removing[self._pool.submit(remove_checkpoints, self._layout, cell_id)] = cell_id

    # Telling

    def report(self) -> Iterator[Event]:
        """Tell of the checkpoints that were written since the last call, and free cells that were given up."""
        for future in [future for future in self._open if future.done()]:
            writing, error = self._open.pop(future), future.exception()
            if writing.run.cell_id not in self._saved:
                continue  # its fate is known: nobody asks for it any more
            if error is None:
                yield self.desk.event(EventKind.CHECKPOINTED, writing.run.packed, step=writing.step)
            else:
                self._failed(writing.run, error, writing.step_before)
        for removal in [removal for removal in self._removing if removal.done()]:
            cell_id, error = self._removing.pop(removal), removal.exception()
            if error is not None:
                self._tell_error("checkpoints_not_removed", cell_id, error)
        for run in [run for run in self._leaving if not self._is_being_written(run)]:
            self._leaving.remove(run)
            yield self.desk.interrupted(run.packed)

    def wait(self, timeout_s: float) -> bool:
        """Wait for what is on its way to the disk; False when `report` has nothing more to tell."""
        on_its_way: set[Future[Any]] = {*self._open, *self._removing}
        wait(on_its_way, timeout=timeout_s)
        return bool(self._open or self._removing or self._leaving)

    # Within

    def _take_from(self, engine: PackEngine, run: CellRun) -> None:
        if self._is_worth_saving(run):
            try:
                self._take(run, engine.state_of(run, HOST))
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                self._failed(run, error, self._saved[run.cell_id].step)

    def _is_worth_saving(self, run: CellRun) -> bool:
        is_wanted = run.packed.cell.compute.checkpoint.every_s is not None
        return is_wanted and run.step > self._saved[run.cell_id].step

    def _take(self, run: CellRun, state: RowState) -> None:
        if not self._is_worth_saving(run):
            return
        snapshot, saved = snapshot_of(run, state, self.base), self._saved[run.cell_id]
        future = self._pool.submit(self._write, run.packed, snapshot)
        self._open[future] = _Writing(run=run, step=run.step, step_before=saved.step)
        self._saved[run.cell_id] = _Saved(step=run.step, moment_s=time.monotonic())

    def _write(self, packed: PackedCell, snapshot: Snapshot) -> None:
        epoch, attempt, cell_id = packed.epoch, packed.attempt, packed.cell.cell_id
        name = CheckpointName.new(epoch, attempt, snapshot.step)
        save_checkpoint(self._layout, cell_id, name, snapshot.writers())
        keep = packed.cell.compute.checkpoint.keep
        prune_checkpoints(self._layout, cell_id, epoch=epoch, attempt=attempt, keep=keep)

    def _is_being_written(self, run: CellRun) -> bool:
        return any(writing.run is run for writing in self._open.values())

    def _failed(self, run: CellRun, error: BaseException, step_before: int) -> None:
        """The next one is due as if this one stood: a disk that is full is not asked at every step."""
        self._saved[run.cell_id] = _Saved(step=step_before, moment_s=time.monotonic())
        self._tell_error("checkpoint_failed", run.cell_id, error)

    def _tell_error(self, event: str, cell_id: str, error: BaseException) -> None:
        self.desk.log.write(event, classify(error)[1], cell_id=cell_id, level="warning", error=error)

    def _log(self, event: str, run: CellRun, message: str, *, step: int) -> None:
        self.desk.log.write(event, message, cell_id=run.cell_id, level="warning", step=step)
