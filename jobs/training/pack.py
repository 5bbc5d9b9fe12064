"""Drives the cells of a pack through the engine: admit, step, evaluate, finish, and refill the free slot."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from jobs.data import prepare
from jobs.data.tokens import tokenise
from jobs.errors import Diverged, UserError
from jobs.models.head import head_shapes
from jobs.models.loading import Base
from jobs.spec import Command, Event, EventKind, PackedCell, Strategy
from jobs.training.adapters import adapter_shapes
from jobs.training.bank import RowLayout, Shapes
from jobs.training.cell_run import CellData, CellRun, start_cell
from jobs.training.engine import PackEngine
from jobs.training.engines import engine_class
from jobs.training.finish import publish_cell
from jobs.training.progress import Progress, Tested, advance
from jobs.training.reloading import Reloading

if TYPE_CHECKING:
    from jobs.trial import Desk

AUTOMATIC_SLOTS = 24
"""Cells in flight when the declaration leaves it open and memory allows it."""
HEARTBEAT_S = 1.0
ROUND_S = 2.0
"""How long engines work side by side before the driver hears of them."""
RELOAD_WAIT_S = 1.0
"""How long to wait for the reload check before the driver hears of the pack again."""

Events = Generator[Event, Command | None, None]


def run_cells(desk: Desk) -> Events:
    """Train every waiting cell of the pack; failing ones become events and the rest go on.

    Raises:
        FineGridError: the base cannot be loaded.
    """
    torch.set_num_threads(desk.pack.resources.cpus)
    base = yield from _load_base(desk)
    with Room(desk, base) as room:
        while True:
            yield from _admit(room)
            yield from _give_up(room)
            if not room.live or desk.is_stopped:
                break
            for progress in room.advance():
                yield from _report(room, progress)
            desk.heed((yield room.heartbeat()))
        desk.waiting.extendleft(run.packed for run in reversed(room.live))


def _load_base(desk: Desk) -> Generator[Event, Command | None, Base]:
    """Load the base beside the conversation with the driver, which hears of the pack all the while."""
    with ThreadPoolExecutor(1, thread_name_prefix="base") as pool:
        loading = pool.submit(desk.workshop.base_for, desk.pack)
        while wait([loading], timeout=HEARTBEAT_S).not_done:
            beat = desk.event(EventKind.HEARTBEAT, live=0, waiting=len(desk.waiting), step=0, total_steps=0)
            desk.heed((yield beat))
    return loading.result()


class Room:
    """The engines that share one base, and the cells in them.

    `fast`: one engine with all slots. `exact`: one engine of one slot for each cell in flight.
    """

    def __init__(self, desk: Desk, base: Base) -> None:
        """Make no engine yet: a row's width follows from the cells."""
        self.desk = desk
        self.base = base
        first = desk.pack.cells[0].cell
        self.is_full = first.strategy is Strategy.FULL
        self.slots = 1 if self.is_full else first.compute.slots or AUTOMATIC_SLOTS
        self.is_exact = base.compute.numerics == "exact"
        self.engines: list[PackEngine] = []
        # Exact numbers must not depend on the number of threads: one a cell, several cells at a time.
        workers = desk.pack.resources.cpus if self.is_exact and base.compute.device.type == "cpu" else 1
        if self.is_exact:
            torch.set_num_threads(1)
        self.reloading = Reloading(desk.pack, base, desk.workshop.layout, desk.workshop.cache)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="cell")
        self._workers = workers

    def __enter__(self) -> Room:
        """Use as a context."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the base as it was found, for the next pack: no threads, no cell's weights in it."""
        self._pool.shutdown()
        torch.set_num_threads(self.desk.pack.resources.cpus)
        self.reloading.close()
        for engine in self.engines:
            for run in list(engine.live):
                engine.release(run)

    def advance(self) -> Iterator[Progress]:
        """Let every engine make one step, or, where engines are many, work for a moment side by side."""
        if self._workers == 1:
            return (advance(engine, duration_s=0.0) for engine in list(self.engines))
        moment_s = ROUND_S * self._workers / len(self.engines)
        return self._pool.map(lambda engine: advance(engine, duration_s=moment_s), list(self.engines))

    @property
    def live(self) -> list[CellRun]:
        """All cells in flight."""
        return [run for engine in self.engines for run in engine.live]

    def place(self, run: CellRun) -> None:
        """Put a cell into an engine that has room for it and whose rows are wide enough, or into a new one."""
        kind = engine_class(run.packed.cell.strategy)
        for engine in self.engines:
            if type(engine) is kind and engine.has_room and engine.bank.layout.covers(run.shapes):
                engine.admit(run)
                return
        self.engines.append(self._new_engine(run))
        self.engines[-1].admit(run)

    def _new_engine(self, run: CellRun) -> PackEngine:
        kind = engine_class(run.packed.cell.strategy)
        if self.is_exact or self.is_full:
            return kind(self.base, RowLayout([run.shapes]), slots=1)
        layout = RowLayout([run.shapes, *self._waiting_shapes(run)])
        slots = min(self.slots - len(self.live), len(self.desk.waiting) + 1)
        return kind(self.base, layout, slots=slots)

    def _waiting_shapes(self, run: CellRun) -> Iterator[Shapes]:
        """Upper bounds for the cells that wait: their adapters, and heads of their declared label counts."""
        for packed in self.desk.waiting:
            cell = packed.cell
            labels = cell.data.num_labels or run.num_labels
            head = head_shapes(self.base.family, self.base.hidden, labels)
            shapes: Shapes = {f"head.{name}": shape for name, shape in head.items()}
            if cell.strategy.has_adapters and cell.lora is not None:
                shapes |= adapter_shapes(self.base, cell.lora)
            yield shapes

    def has_room(self) -> bool:
        """True when another cell can be admitted."""
        return len(self.live) < self.slots

    def leave(self, engine: PackEngine, run: CellRun) -> None:
        """Free a cell's slot; an engine nobody is in gives its memory back."""
        engine.release(run)
        if not engine.live and (self.is_exact or self.is_full or not self.desk.waiting):
            self.engines.remove(engine)

    def heartbeat(self) -> Event:
        """How far the pack is."""
        step = sum(run.step for run in self.live)
        total = sum(run.total_steps for run in self.live)
        return self.desk.event(
            EventKind.HEARTBEAT, live=len(self.live), waiting=len(self.desk.waiting), step=step, total_steps=total
        )


def _admit(room: Room) -> Events:
    desk = room.desk
    while desk.waiting and room.has_room() and not desk.is_stopped:
        packed = desk.waiting.popleft()
        desk.heed((yield desk.event(EventKind.CELL_STARTED, packed)))
        try:
            run = start_cell(packed, load_data(packed, room.base, desk), room.base)
            room.place(run)
        except Exception as error:
            desk.heed((yield desk.failed(packed, error)))


def _give_up(room: Room) -> Events:
    desk = room.desk
    for engine in list(room.engines):
        for run in [run for run in engine.live if run.cell_id in desk.given_up]:
            room.leave(engine, run)
            desk.heed((yield desk.interrupted(run.packed)))
    for packed in [packed for packed in desk.waiting if packed.cell.cell_id in desk.given_up]:
        desk.waiting.remove(packed)
        desk.heed((yield desk.interrupted(packed)))


def _report(room: Room, progress: Progress) -> Events:
    """Tell what became of an engine's cells: diverged ones leave, finished ones are published."""
    desk = room.desk
    for divergence in progress.divergences:
        room.leave(progress.engine, divergence.run)
        desk.heed((yield desk.failed(divergence.run.packed, Diverged(divergence.reason))))
    for tested in progress.tested:
        run = tested.run
        room.leave(progress.engine, run)
        try:
            folder, accuracy = yield from _publish(room, tested)
        except Exception as error:
            desk.heed((yield desk.failed(run.packed, error)))
        else:
            desk.heed((yield desk.finished(run.packed, folder, accuracy)))


def _publish(room: Room, tested: Tested) -> Generator[Event, Command | None, tuple[Path, float | None]]:
    """Export a cell, have it loaded again in another process, then publish it."""
    run, reloading, layout = tested.run, room.reloading, room.desk.workshop.layout
    with reloading.staged(run, tested.tensors) as folders:
        reloading.ask(run, tested.logits_nC, folders)
        while (reloaded := reloading.outcome(wait_s=RELOAD_WAIT_S)) is None:
            room.desk.heed((yield room.heartbeat()))
        return publish_cell(
            run, tested.logits_nC, tested.tensors, room.base, layout, folders=folders, reloaded=reloaded
        )


def load_data(packed: PackedCell, base: Base, desk: Desk) -> CellData:
    """Choose and tokenise a cell's rows.

    Raises:
        DataError: the protocol cannot be met.
        UserError: max_length exceeds the model's positions.
    """
    cell, cache = packed.cell, desk.workshop.cache
    if cell.recipe.max_length > base.max_positions:
        raise UserError(
            f"recipe.max_length = {cell.recipe.max_length}: {cell.model.name if cell.model else ''} has only "
            f"{base.max_positions} positions"
        )
    data = prepare(cell.data, seed=cell.seed, cache=cache)
    tokens: dict[str, tuple[np.ndarray, ...]] = {}
    counts = dict(data.counts)
    for name in ("train", "validation", "test"):
        texts = getattr(data, name).texts
        found = tokenise(base.tokenizer, base.tokenizer_key, texts, max_length=cell.recipe.max_length, cache=cache)
        tokens[name] = found.ids
        counts["texts_truncated"] = counts.get("texts_truncated", 0) + found.num_truncated
        counts["texts_empty"] = counts.get("texts_empty", 0) + found.num_empty
    return CellData(
        label_names=data.label_names,
        tokens=tokens,
        labels={name: getattr(data, name).labels for name in tokens},
        row_ids={name: getattr(data, name).row_ids for name in tokens},
        hashes=dict(data.hashes),
        counts=counts,
        marks=tuple(data.marks),
    )
