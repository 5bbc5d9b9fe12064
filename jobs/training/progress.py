"""Moves an engine on: steps, evaluations when they are due, and the test of cells that are through."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from torch import Tensor

from jobs.errors import classify, is_out_of_memory
from jobs.training.cell_run import CellRun
from jobs.training.engine import PackEngine
from jobs.training.peak_memory import return_freed_memory
from jobs.training.slots import Divergence


@dataclass(kw_only=True)
class Tested:
    """A cell that has finished training, with what its chosen state says about the test rows."""

    run: CellRun
    logits_nC: np.ndarray
    tensors: dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Shortage:
    """A pass did not fit into memory. Nothing of it is left: its cells stand before the step or evaluation."""

    reason: str
    evaluated: tuple[CellRun, ...]
    """Cells of the evaluation that did not fit; none: it was a training step of all live cells."""


@dataclass(kw_only=True)
class Progress:
    """What happened to an engine's cells; those named here are still live and have to be released."""

    engine: PackEngine
    divergences: list[Divergence] = field(default_factory=list)
    tested: list[Tested] = field(default_factory=list)
    shortage: Shortage | None = None
    """Whoever hears of it has to make the next pass smaller."""
    evaluated: tuple[CellRun, ...] = ()
    """Cells of the evaluation that is being made."""


def advance(engine: PackEngine, *, duration_s: float) -> Progress:
    """Train the engine's cells until one leaves or the time is over, at least one step.

    Args:
        engine: holds at least one cell; used by no other thread meanwhile.
        duration_s: no further step is begun after this time.
    Returns:
        the cells that leave.
    """
    progress = Progress(engine=engine)
    try:
        _advance(progress, time.monotonic() + duration_s)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        progress.shortage = Shortage(reason=classify(error)[1], evaluated=progress.evaluated)
    if progress.shortage is not None:  # the error is gone by now, and with it the tensors that its frames held
        engine.begin_steps_anew()
        return_freed_memory(engine.device)
    return progress


def _advance(progress: Progress, end: float) -> None:
    engine = progress.engine
    _evaluate(progress)  # what a shortage of memory may have left to do
    _test(progress)
    while engine.live and not progress.tested:
        progress.divergences = engine.step()
        if progress.divergences:
            break
        _evaluate(progress)
        _test(progress)
        if time.monotonic() >= end:
            break


def _evaluate(progress: Progress) -> None:
    engine = progress.engine
    due = [run for run in engine.live if run.owes_evaluation]
    if due:
        for run, logits_nC in zip(due, _predict(progress, due, "validation"), strict=True):
            run.note_evaluation(logits_nC, partial(engine.tensors_of, run))
        progress.evaluated = ()


def _test(progress: Progress) -> None:
    """Put cells that are through back to their best state and predict the test rows with it."""
    engine = progress.engine
    finished = [run for run in engine.live if run.finished and run.step_completed]
    for run in finished:
        if run.best_tensors is not None:
            engine.put_tensors(run, run.best_tensors)
    if finished:
        judged = [run for run in finished if run.packed.cell.candidate is None]
        said = dict(zip(judged, _predict(progress, judged, "test"), strict=True)) if judged else {}
        progress.tested = [
            Tested(run=run, logits_nC=said.get(run, _nothing(run)), tensors=engine.tensors_of(run)) for run in finished
        ]
        progress.evaluated = ()


def _nothing(run: CellRun) -> np.ndarray:
    """What a candidate of a tuning says about test rows."""
    return np.zeros((0, run.num_labels), np.float32)


def _predict(progress: Progress, runs: list[CellRun], split: str) -> list[np.ndarray]:
    progress.evaluated = tuple(runs)
    return progress.engine.predict(runs, split)
