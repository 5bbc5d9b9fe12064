"""Moves an engine on: steps, evaluations when they are due, and the test of cells that are through."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from torch import Tensor

from jobs.training.cell_run import CellRun
from jobs.training.engine import PackEngine
from jobs.training.slots import Divergence


@dataclass(kw_only=True)
class Tested:
    """A cell that has finished training, with what its chosen state says about the test rows."""

    run: CellRun
    logits_nC: np.ndarray
    tensors: dict[str, Tensor]


@dataclass(kw_only=True)
class Progress:
    """What happened to an engine's cells; those named here are still live and have to be released."""

    engine: PackEngine
    divergences: list[Divergence] = field(default_factory=list)
    tested: list[Tested] = field(default_factory=list)


def advance(engine: PackEngine, *, duration_s: float) -> Progress:
    """Train the engine's cells until one leaves or the time is over, at least one step.

    Args:
        engine: holds at least one cell; used by no other thread meanwhile.
        duration_s: no further step is begun after this time.
    Returns:
        the cells that leave.
    """
    progress = Progress(engine=engine)
    end = time.monotonic() + duration_s
    while engine.live:
        progress.divergences = engine.step()
        if progress.divergences:
            break
        _evaluate(engine)
        progress.tested = _test(engine)
        if progress.tested or time.monotonic() >= end:
            break
    return progress


def _evaluate(engine: PackEngine) -> None:
    due = [run for run in engine.live if run.step_completed and run.evaluation_due()]
    if due:
        for run, logits_nC in zip(due, engine.predict(due, "validation"), strict=True):
            run.note_evaluation(logits_nC, partial(engine.tensors_of, run))


def _test(engine: PackEngine) -> list[Tested]:
    """Put cells that are through back to their best state and predict the test rows with it."""
    finished = [run for run in engine.live if run.finished and run.step_completed]
    for run in finished:
        if run.best_tensors is not None:
            engine.put_tensors(run, run.best_tensors)
    if not finished:
        return []
    return [
        Tested(run=run, logits_nC=logits_nC, tensors=engine.tensors_of(run))
        for run, logits_nC in zip(finished, engine.predict(finished, "test"), strict=True)
    ]
