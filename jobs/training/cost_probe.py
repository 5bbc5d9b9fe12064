"""What a cell costs alone: some steps and predictions in an engine of one slot, made before its pack starts.

Inside a pack a cell's time is a share and memory is everybody's; only figures measured alone can be compared
between models, strategies and devices. The probe trains a copy of the cell at learning rate 0 and throws it away:
base, cell and global random state stay as they were.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch

from jobs.models.loading import Base
from jobs.spec import PackedCell, RecipeSpec, Strategy
from jobs.training.bank import RowLayout
from jobs.training.cell_run import CellData, CellRun, start_cell
from jobs.training.engine import PackEngine
from jobs.training.engines import engine_class
from jobs.training.peak_memory import MemoryMeter

WARM_UP_STEPS = 3
STEPS = 10
REPEATS = 3
"""Times that the rows of the inference figure are predicted."""
BUDGET_S = 5.0
"""No further training step is begun after this time, and no further prediction after the same once more."""
INFERENCE_ROWS = 256
FIRST_TEXTS = 8
"""Texts whose features are computed to see how many are affordable (strategy head)."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class SoloCosts:
    """What one cell costs when it has the device for itself."""

    step_seconds: float
    """Median of an optimiser step: all its micro-batches and the update."""
    train_samples_per_second: float
    """Training rows of a step by its time, median; without evaluations."""
    inference_samples_per_second: float
    """Test rows by the time to predict them, median; strategy head: the base's pass over them included."""
    feature_seconds_per_text: float = 0.0
    """Strategy head: the base's pass over one text, which training pays once a text and no step contains."""
    peak_memory_bytes: int
    """At the peak of these steps and predictions, the base included; see `MemoryMeter.peak_bytes`."""
    num_steps: int
    """Optimiser steps measured."""


def probe(packed: PackedCell, data: CellData, base: Base) -> SoloCosts:
    """Measure what a cell costs alone, in some seconds.

    Args:
        packed: the cell.
        data: its rows.
        base: the shared base; no cell may be in training on it.
    Returns:
        the figures.
    Raises:
        UserError: a LoRA target matches no layer.
        OutOfMemoryError: the cell alone does not fit.
    Side effects:
        starts a new peak of the process' memory; empties the caches of the allocators.
    """
    meter = MemoryMeter(base.model, base.compute.device)
    packed = replace(packed, cell=replace(packed.cell, recipe=_probe_recipe(packed.cell.recipe)))
    is_head = packed.cell.strategy is Strategy.HEAD and not base.is_stock  # its steps run the base
    if is_head:
        data = _affordable_texts(packed, data, base)
    with _alone(packed, data, base) as (engine, run, admission_s):
        feature_s = admission_s / _distinct_texts(data) if is_head else 0.0
        steps = _timed_steps(engine, run)
        rates = [rows / seconds for seconds, rows in steps]
        if not is_head:
            run.data = _with_test_rows(data, _affordable_rows(1.0 / statistics.median(rates)))
        inference_s = _timed_inference(engine, run) + feature_s
        return SoloCosts(
            step_seconds=statistics.median(seconds for seconds, _ in steps),
            train_samples_per_second=statistics.median(rates),
            inference_samples_per_second=1.0 / inference_s,
            feature_seconds_per_text=feature_s,
            peak_memory_bytes=meter.peak_bytes(),
            num_steps=len(steps),
        )


def _probe_recipe(recipe: RecipeSpec) -> RecipeSpec:
    """As declared, but nothing moves, so that nothing can diverge, and no step is missing for want of rows."""
    return replace(recipe, learning_rate=0.0, epochs=WARM_UP_STEPS + STEPS)


@contextmanager
def _alone(packed: PackedCell, data: CellData, base: Base) -> Iterator[tuple[PackEngine, CellRun, float]]:
    """A fresh run of the cell in an engine of its own, and the seconds its admission took."""
    run = start_cell(packed, data, base)
    layout = None if base.compute.numerics == "exact" else RowLayout([run.shapes])
    engine = engine_class(packed.cell.strategy, base)(base, layout, slots=1)
    try:
        started = now(engine.device)
        engine.admit(run)
        yield engine, run, now(engine.device) - started
    finally:
        if run in engine.live:
            engine.release(run)


def _timed_steps(engine: PackEngine, run: CellRun) -> list[tuple[float, int]]:
    """Seconds and rows of some optimiser steps after a warm-up, one of each at least."""

    def step() -> tuple[float, int]:
        rows, started = run.trained_rows, now(engine.device)
        _optimiser_step(engine, run)
        return now(engine.device) - started, run.trained_rows - rows

    _repeat(step, times=WARM_UP_STEPS, budget_s=BUDGET_S / 2)
    return _repeat(step, times=STEPS, budget_s=BUDGET_S)


def _optimiser_step(engine: PackEngine, run: CellRun) -> None:
    while True:
        divergences = engine.step()
        if divergences or run.step_completed:
            return


def _timed_inference(engine: PackEngine, run: CellRun) -> float:
    """Median seconds to predict one test row."""

    def predict() -> float:
        started = now(engine.device)
        engine.predict([run], "test")
        return now(engine.device) - started

    seconds = _repeat(predict, times=REPEATS, budget_s=BUDGET_S)
    return statistics.median(seconds) / len(run.data.tokens["test"])


def _repeat(measure: Callable[[], T], *, times: int, budget_s: float) -> list[T]:
    """Once at least, and again while there is time."""
    end = time.monotonic() + budget_s
    found = [measure()]
    while len(found) < times and time.monotonic() < end:
        found.append(measure())
    return found


def _affordable_texts(packed: PackedCell, data: CellData, base: Base) -> CellData:
    """Fewer texts, because strategy head runs the base over all of them before the first step."""
    few = _repeated_train_rows(_with_test_rows(data, FIRST_TEXTS), FIRST_TEXTS, FIRST_TEXTS)
    with _alone(packed, few, base) as (_, _, seconds):
        rows = _affordable_rows(2 * seconds / _distinct_texts(few))
    step = packed.cell.recipe.batch_size * packed.cell.recipe.gradient_accumulation
    return _repeated_train_rows(_with_test_rows(data, rows), rows, max(rows, step))


def _affordable_rows(seconds_per_row: float) -> int:
    return max(1, min(INFERENCE_ROWS, round(BUDGET_S / 2 / seconds_per_row)))


def _distinct_texts(data: CellData) -> int:
    return len({text.tobytes() for texts in data.tokens.values() for text in texts})


def _with_test_rows(data: CellData, count: int) -> CellData:
    """The same training rows, no validation rows, and some test rows evenly spread over all of them."""
    texts = data.tokens["test"]
    rows = np.linspace(0, len(texts) - 1, min(count, len(texts))).round().astype(int)
    tokens = {**data.tokens, "validation": (), "test": tuple(texts[row] for row in rows)}
    return replace(data, tokens=tokens)


def _repeated_train_rows(data: CellData, distinct: int, count: int) -> CellData:
    """The first training rows again and again: a step has as many rows as declared, the base sees few of them."""
    rows = np.resize(np.arange(min(distinct, data.num_train)), min(count, data.num_train))
    return replace(
        data,
        tokens={**data.tokens, "train": tuple(data.tokens["train"][row] for row in rows)},
        labels={**data.labels, "train": data.labels["train"][rows]},
    )


def now(device: torch.device) -> float:
    """Seconds of a clock, when everything that the device was asked to do is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
