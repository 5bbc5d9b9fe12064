"""The fake trial, but scores follow from settings: each model has a best learning rate of its own.

A cell's share of right answers is the model's ceiling minus a penalty for every factor of ten between its rate and the
best one, on validation rows and (unless it is a candidate) on test rows. FINEGRID_FAKE_STOP_AFTER=N: the process
kills itself when N results stand. FINEGRID_FAKE_BROKEN=1: candidates with the number 2 fail because of the machine.
"""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Generator
from pathlib import Path

from jobs.spec import CellResult, Command, Event, EventKind, MetricValue, PackedCell, PackSpec
from jobs.storage import Layout, publish
from tests.fakes.trial import say

CEILINGS = {"tiny-bert": (0.9, 1e-2), "tiny-gpt2": (0.8, 1e-4)}
"""Best score and the rate that reaches it: bert is the better model, and its default rate (1e-4) is far off."""
DIVERGES_ABOVE = 5e-2


class Workshop:
    """Knows where results go."""

    def __init__(self, results: Path, cache: Path) -> None:
        self.layout = Layout(results)

    def is_clean(self) -> bool:
        return True


def score(packed: PackedCell) -> float:
    cell = packed.cell
    if cell.model is None:
        return 0.5
    ceiling, best = CEILINGS[cell.model.name]
    penalty = 0.2 * abs(math.log10(cell.recipe.learning_rate / best)) + 0.2 / cell.recipe.epochs
    return max(0.0, ceiling - penalty)


def run_pack(pack: PackSpec, workshop: Workshop) -> Generator[Event, Command | None, None]:
    yield Event(kind=EventKind.PACK_STARTED, pack_id=pack.pack_id)
    for packed in pack.cells:
        yield say(pack, packed, EventKind.CELL_STARTED)
        if packed.cell.recipe.learning_rate > DIVERGES_ABOVE:
            yield say(pack, packed, EventKind.CELL_FAILED, kind="diverged", reason="loss is not finite", log="")
            continue
        candidate = packed.cell.candidate
        if os.environ.get("FINEGRID_FAKE_BROKEN") and candidate is not None and candidate.number == 2:
            yield say(pack, packed, EventKind.CELL_FAILED, kind="environment", reason="the driver is gone", log="")
            continue
        folder = publish(workshop.layout, result(packed), {})
        if len(list(workshop.layout.cells.glob("*/*"))) == int(os.environ.get("FINEGRID_FAKE_STOP_AFTER", "0")):
            os.kill(os.getpid(), signal.SIGKILL)
        yield say(pack, packed, EventKind.CELL_FINISHED, folder=str(folder))
    yield Event(kind=EventKind.PACK_FINISHED, pack_id=pack.pack_id)


def result(packed: PackedCell) -> CellResult:
    splits = ("validation",) if packed.cell.candidate else ("validation", "test")
    return CellResult(
        cell=packed.cell,
        epoch=packed.epoch,
        attempt=packed.attempt,
        metrics=tuple(MetricValue(split=split, name="accuracy", value=score(packed)) for split in splits),
        counts={"num_train": 8, "num_validation": 2, "num_test": 4},
        hashes={"train": "0" * 64},
        costs={"train_seconds": 0.1},
        provenance={"device": "cpu"},
        epochs=1.0,
        label_names=("a", "b"),
    )
