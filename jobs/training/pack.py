"""Drives the cells of a pack through the engine: admit, step, evaluate, finish, and refill the free slot."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from jobs.errors import Diverged
from jobs.models.loading import Base
from jobs.spec import Command, Event, EventKind, PackedCell
from jobs.training.cell_data import load_data
from jobs.training.cell_run import CellRun, start_cell
from jobs.training.checkpointing import Checkpoints
from jobs.training.finish import publish_cell
from jobs.training.ladder import Rung, climb, hold_back
from jobs.training.progress import Progress, Tested
from jobs.training.reloading import Reloading
from jobs.training.room import Room, SetAside
from jobs.training.slot_search import Slots, find_slots
from jobs.training.solo_costs import SoloBook, probe_pack

if TYPE_CHECKING:
    from jobs.trial import Desk

HEARTBEAT_S = 1.0
RELOAD_WAIT_S = 1.0

T = TypeVar("T")
Events = Generator[Event, Command | None, None]


def run_cells(desk: Desk) -> Events:
    """Train every waiting cell of the pack; failing ones become events and the rest go on.

    Raises:
        FineGridError: the base cannot be loaded.
    """
    base = yield from beside(desk, lambda: desk.workshop.base_for(desk.pack))
    room = Room(base, desk.pack.cells[0], desk.waiting, cpus=desk.pack.resources.cpus)
    try:
        solo = yield from beside(desk, lambda: _solo_costs(desk, base))
        slots = yield from beside(desk, lambda: _slots(desk, room))
        room.slots = slots.number
        with closing(Checkpoints(desk, base)) as checkpoints:
            publisher = Publisher(desk, base, checkpoints, solo, slots)
            try:
                yield from _train(desk, room, publisher, checkpoints)
                yield from publisher.finish_all(room)
                yield from _finish_checkpoints(desk, room, checkpoints)
            finally:
                publisher.close()
    finally:
        room.close()


def beside(desk: Desk, job: Callable[[], T], room: Room | None = None) -> Generator[Event, Command | None, T]:
    """Do something long beside the conversation with the driver, which hears of the pack all the while."""
    with ThreadPoolExecutor(1, thread_name_prefix="beside") as pool:
        running = pool.submit(job)
        while wait([running], timeout=HEARTBEAT_S).not_done:
            desk.heed((yield _heartbeat(desk, room)))
    return running.result()


def _solo_costs(desk: Desk, base: Base) -> SoloBook:
    """What the cells cost alone: measured before any of them trains."""
    return probe_pack(
        tuple(packed for packed in desk.waiting if packed.cell.candidate is None),
        base,
        data_of=lambda packed: load_data(packed, base, desk.workshop.cache),
        cache=desk.workshop.cache,
        should_stop=lambda: desk.is_stopped,
    )


def _slots(desk: Desk, room: Room) -> Slots:
    """How many cells train together: measured before any of them trains."""
    return find_slots(
        tuple(desk.waiting),
        room,
        granted_bytes=desk.pack.resources.memory_bytes,
        data_of=lambda packed: load_data(packed, room.base, desk.workshop.cache),
        cache=desk.workshop.cache,
        should_stop=lambda: desk.is_stopped,
    )


def _train(desk: Desk, room: Room, publisher: Publisher, checkpoints: Checkpoints) -> Events:
    """Admit, advance, save, report, until no cell is left or the driver says stop; then save what is left."""
    while True:
        yield from _admit(desk, room, checkpoints)
        yield from _give_up(desk, room, checkpoints)
        if not room.live or desk.is_stopped:
            break
        for progress in room.advance(wait_s=HEARTBEAT_S):
            yield from _report(desk, room, progress, publisher)
        checkpoints.take_due(room.idle)
        yield from publisher.report()
        yield from _told(desk, checkpoints.report())
        desk.heed((yield _heartbeat(desk, room)))
    for progress in room.settle():
        yield from _report(desk, room, progress, publisher)
    checkpoints.take_all(room.engines, [(aside.run, aside.state) for aside in room.aside])
    yield from _finish_checkpoints(desk, room, checkpoints)
    unfinished = [*room.live, *(aside.run for aside in room.aside)]
    desk.waiting.extendleft(run.packed for run in reversed(unfinished))


def _finish_checkpoints(desk: Desk, room: Room, checkpoints: Checkpoints) -> Events:
    """Wait until everything that was saved stands on the disk: only then may a cell be given back."""
    yield from _told(desk, checkpoints.report())
    while checkpoints.wait(HEARTBEAT_S):
        yield from _told(desk, checkpoints.report())
        desk.heed((yield _heartbeat(desk, room)))


def _told(desk: Desk, events: Iterable[Event]) -> Events:
    for event in events:
        desk.heed((yield event))


def _heartbeat(desk: Desk, room: Room | None) -> Event:
    """How far the pack is."""
    live = room.live if room else []
    return desk.event(
        EventKind.HEARTBEAT,
        live=len(live),
        waiting=len(desk.waiting) + (len(room.aside) if room else 0),
        finished=desk.num_finished,
        step=sum(run.step for run in live),
        total_steps=sum(run.total_steps for run in live),
    )


def _admit(desk: Desk, room: Room, checkpoints: Checkpoints) -> Events:
    """Fill free slots: with cells that had to make room before, then with new ones."""
    while room.aside and room.has_room() and not desk.is_stopped:
        yield from _enter(desk, room, room.aside.popleft())
    while desk.waiting and not room.aside and room.has_room() and not desk.is_stopped:
        packed = desk.waiting.popleft()
        from_step = checkpoints.newest_step(packed)
        desk.heed((yield desk.event(EventKind.CELL_STARTED, packed, from_step=from_step)))
        try:
            cell = yield from beside(desk, partial(_begin, desk, room.base, packed, checkpoints), room)
        except Exception as error:
            desk.heed((yield desk.failed(packed, error)))
        else:
            yield from _enter(desk, room, cell)


def _begin(desk: Desk, base: Base, packed: PackedCell, checkpoints: Checkpoints) -> SetAside:
    """Set a cell up, where an earlier attempt left off if it left something to go on from."""
    run = start_cell(packed, load_data(packed, base, desk.workshop.cache), base)
    return SetAside(run=run, state=checkpoints.restore(run))


def _enter(desk: Desk, room: Room, cell: SetAside) -> Events:
    """Put a cell into an engine; where others take the memory for that, it waits for them."""
    try:
        room.place(cell.run, cell.state)
    except Exception as error:
        rung = hold_back(room, cell, error)
        if rung is None:
            desk.heed((yield desk.failed(cell.run.packed, error)))
        else:
            _note(desk, rung)


def _give_up(desk: Desk, room: Room, checkpoints: Checkpoints) -> Events:
    """Cells that the driver wants back: those in an engine at work follow when it stands still."""
    for engine in room.idle:
        for run in [run for run in engine.live if run.cell_id in desk.given_up]:
            checkpoints.give_back(engine, run)
            room.leave(engine, run)
    for aside in [aside for aside in room.aside if aside.run.cell_id in desk.given_up]:
        room.aside.remove(aside)
        checkpoints.give_back_aside(aside.run, aside.state)
    yield from _told(desk, checkpoints.report())
    for packed in [packed for packed in desk.waiting if packed.cell.cell_id in desk.given_up]:
        desk.waiting.remove(packed)
        desk.heed((yield desk.interrupted(packed)))


def _report(desk: Desk, room: Room, progress: Progress, publisher: Publisher) -> Events:
    """Diverged cells leave, finished ones are handed to the publisher, and the engine goes on meanwhile."""
    for divergence in progress.divergences:
        room.leave(progress.engine, divergence.run)
        publisher.checkpoints.forget(divergence.run.cell_id)  # from there it would only diverge again
        desk.heed((yield desk.failed(divergence.run.packed, Diverged(divergence.reason))))
    for tested in progress.tested:
        room.leave(progress.engine, tested.run)
        publisher.take(tested)
    if progress.shortage is not None:
        rung = climb(room, progress.engine, progress.shortage)
        _note(desk, rung)
        if rung.failure is not None:
            for run in rung.runs:
                room.leave(progress.engine, run)
                desk.heed((yield desk.failed(run.packed, rung.failure)))


def _note(desk: Desk, rung: Rung) -> None:
    """What was done against a shortage of memory goes to the pack's log; the cells bear it as a mark."""
    cells = [run.cell_id for run in rung.runs]
    desk.log.write("out_of_memory", rung.what, level="warning", cells=cells, reason=rung.reason)


@dataclass
class Publisher:
    """Exports, has reloaded and publishes finished cells, one after another, beside the training."""

    desk: Desk
    base: Base
    checkpoints: Checkpoints
    solo: SoloBook
    slots: Slots
    _open: dict[Future[tuple[Path, float | None]], CellRun] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Start the process that loads cells again."""
        workshop = self.desk.workshop
        self._reloading = Reloading(self.desk.pack, self.base, workshop.layout, workshop.cache)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="publisher")

    def close(self) -> None:
        """Let the cell that is being published be finished; end the process."""
        self._pool.shutdown(cancel_futures=True)
        self._reloading.close()

    def take(self, tested: Tested) -> None:
        """Queue a finished cell."""
        self._open[self._pool.submit(self._publish, tested)] = tested.run

    def report(self) -> Events:
        """Tell of the cells that were published since the last call, and of those that could not be."""
        for future in [future for future in self._open if future.done()]:
            packed = self._open.pop(future).packed
            error = future.exception()
            if error is None:
                self.checkpoints.forget(packed.cell.cell_id)
                self.desk.heed((yield self.desk.finished(packed, *future.result())))
            elif isinstance(error, Exception):
                self.desk.heed((yield self.desk.failed(packed, error)))
            else:
                raise error

    def finish_all(self, room: Room) -> Events:
        """Wait for the last ones."""
        while self._open:
            wait(self._open, timeout=HEARTBEAT_S)
            yield from self.report()
            self.desk.heed((yield _heartbeat(self.desk, room)))

    def _publish(self, tested: Tested) -> tuple[Path, float | None]:
        """Export a cell, have it loaded again in another process, then publish it."""
        run, layout = tested.run, self.desk.workshop.layout
        with self._reloading.staged(run, tested.tensors) as folders:
            self._reloading.ask(run, tested.logits_nC, folders)
            while (reloaded := self._reloading.outcome(wait_s=RELOAD_WAIT_S)) is None:
                pass
            return publish_cell(
                run,
                tested.logits_nC,
                tested.tensors,
                self.base,
                layout,
                folders=folders,
                reloaded=reloaded,
                solo=self.solo.of(run.packed.cell),
                slots=self.slots,
            )
