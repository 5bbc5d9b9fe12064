"""The out-of-memory ladder: what is made smaller, in which order, when a pass does not fit into memory.

A training step: half of the engine's cells wait; then the micro-batch is split; then layers are computed twice
instead of being kept; then the cell fails. An evaluation: fewer texts at a time, then fewer cells, then the cell
fails. Each rung holds for the rest of the pack and is a mark on every cell that it concerns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from jobs.errors import OutOfMemory, classify, is_out_of_memory
from jobs.training.cell_run import EVALUATION_TEXTS, CellRun
from jobs.training.engine import PackEngine
from jobs.training.progress import Shortage
from jobs.training.room import Room, SetAside


@dataclass(frozen=True, kw_only=True)
class Rung:
    """What was done about one shortage."""

    what: str
    """For people, such as `slots halved from 12 to 6`."""
    reason: str
    """What ran out of memory, in the words of the allocator."""
    runs: tuple[CellRun, ...]
    """The cells concerned."""
    failure: OutOfMemory | None = None
    """The end of the ladder: these cells cannot go on. They are still live."""


def climb(room: Room, engine: PackEngine, shortage: Shortage) -> Rung:
    """Make an engine's next pass smaller.

    Args:
        room: where the engine is; it stands still.
        engine: whose pass did not fit.
        shortage: what did not fit.
    Returns:
        what was done.
    Side effects:
        may take cells out of the engine, to wait in front of the queue; notes marks on the cells concerned.
    """
    live = tuple(engine.live)
    rungs: Iterable[tuple[tuple[CellRun, ...], Callable[[], str | None]]]
    if shortage.evaluated:
        rungs = (
            (shortage.evaluated, lambda: _fewer_texts(shortage.evaluated)),
            (live, lambda: _fewer_cells(room, engine)),
        )
    else:
        rungs = (
            (live, lambda: _fewer_cells(room, engine)),
            (live, lambda: _smaller_micro_batches(live)),
            (live, lambda: _recompute_layers(engine, live)),
        )
    for concerned, make_smaller in rungs:
        what = make_smaller()
        if what is not None:
            return _noted(what, concerned, shortage)
    return _given_up(live, shortage)


def hold_back(room: Room, cell: SetAside, error: Exception) -> Rung | None:
    """Let a cell wait that could not be admitted because others take the memory.

    Args:
        room: which could not take the cell in.
        cell: the cell, new or on its way back.
        error: what came of trying.
    Returns:
        what was done; None when the error is another one, or when nobody is in flight who could make room.
    """
    if not is_out_of_memory(error) or not room.live:
        return None
    room.hold_back(cell)
    what = f"slots limited to {room.slots}"
    cell.run.marks.append(f"{what} after running out of memory when the cell was admitted")
    return Rung(what=what, reason=classify(error)[1], runs=(cell.run,))


def _noted(what: str, runs: Sequence[CellRun], shortage: Shortage) -> Rung:
    for run in runs:
        run.marks.append(f"{what} after running out of memory {_where(run, shortage)}")
    return Rung(what=what, reason=shortage.reason, runs=tuple(runs))


def _where(run: CellRun, shortage: Shortage) -> str:
    return f"in an evaluation at step {run.step}" if shortage.evaluated else f"at step {run.step + 1}"


def _fewer_cells(room: Room, engine: PackEngine) -> str | None:
    """Those with most steps before them wait: the others will make room soonest."""
    count = len(engine.live)
    if count < 2:
        return None
    ranked = sorted(engine.live, key=lambda run: run.total_steps - run.step)
    room.set_aside(engine, ranked[count // 2 :])
    return f"slots halved from {count} to {count // 2}"


def _smaller_micro_batches(live: Sequence[CellRun]) -> str | None:
    (run,) = live
    rows, parts = run.micro_batch, run.accumulation
    if not run.split_micro_batches():
        return None
    return (
        f"micro-batch reduced from {rows} to {run.micro_batch}, accumulation raised from {parts} to {run.accumulation}"
    )


def _recompute_layers(engine: PackEngine, live: Sequence[CellRun]) -> str | None:
    (run,) = live
    if run.recomputes_layers or not engine.can_recompute(run):
        return None
    run.recomputes_layers = True
    return "gradient checkpointing switched on"


def _fewer_texts(runs: Sequence[CellRun]) -> str | None:
    texts = min(run.evaluation_texts for run in runs)
    if texts == 1:
        return None
    for run in runs:
        run.evaluation_texts = texts // 2
    return f"texts of an evaluation pass halved from {texts} to {texts // 2}"


def _given_up(runs: tuple[CellRun, ...], shortage: Shortage) -> Rung:
    (run,) = runs
    tried = "; ".join(_tried(run)) or "nothing could be made smaller"
    failure = OutOfMemory(f"out of memory {_where(run, shortage)}. Tried: {tried}. {shortage.reason}")
    return Rung(what=f"gave up {run.packed.cell.title}", reason=shortage.reason, runs=runs, failure=failure)


def _tried(run: CellRun) -> Iterator[str]:
    """In short, because reasons are: every single rung stands in the pack's log."""
    if any(mark.startswith("slots") for mark in run.marks):
        yield "fewer cells at a time"
    if run.micro_batches_split > 1:
        yield f"micro-batch reduced from {run.recipe.batch_size} to {run.micro_batch}"
    if run.recomputes_layers:
        yield "gradient checkpointing"
    if run.evaluation_texts < EVALUATION_TEXTS:
        yield f"texts of an evaluation pass reduced from {EVALUATION_TEXTS} to {run.evaluation_texts}"
