"""What some cells of a pack cost together: copies of them make a few steps at learning rate 0 and are thrown away.

Memory is measured on their longest texts, time on ordinary ones: a step of only long texts fills a device with
few cells, and would say nothing about the steps that are made.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from jobs.errors import is_out_of_memory
from jobs.models.loading import Base
from jobs.spec import PackedCell
from jobs.training.bank import RowLayout
from jobs.training.cell_run import CellData, CellRun, start_cell
from jobs.training.cost_probe import now
from jobs.training.engine import PackEngine
from jobs.training.engines import engine_class
from jobs.training.peak_memory import MemoryMeter
from jobs.training.slot_choice import Limits, Measured, next_count

TIMED_STEPS = 3
BUDGET_S = 5.0
"""No more cells are measured when that would be likely to take longer, counted from the beginning."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A cell to copy, with its rows."""

    packed: PackedCell
    data: CellData


def measure(
    samples: Sequence[Sample],
    base: Base,
    limits: Limits,
    *,
    should_stop: Callable[[], bool] = lambda: False,
) -> tuple[list[Measured], bool]:
    """Measure 1, 2, 4, ... cells in one engine until more do not help.

    Args:
        samples: cells to copy, the largest first; repeated as needed.
        base: the shared base, with nobody in training on it; the threads are those that the pack will use.
        limits: of the engine.
        should_stop: asked before each number.
    Returns:
        the measurements, and whether they were broken off although more cells might help.
    Raises:
        OutOfMemoryError: not even one cell fits.
    Side effects:
        starts a new peak of the process' memory; empties the caches of the allocators.
    """
    measured: list[Measured] = []
    begun = now(base.compute.device)
    took = 0.0
    while (count := next_count(measured, limits)) is not None:
        started = now(base.compute.device)
        if measured and (started - begun + took * count / measured[-1].cells > BUDGET_S or should_stop()):
            return measured, True
        try:
            measured.append(_measure_warm(samples, base, count))
        except Exception as error:
            if not (measured and is_out_of_memory(error)):
                raise
            return measured, False
        took = now(base.compute.device) - started
    return measured, False


def _measure_warm(samples: Sequence[Sample], base: Base, count: int) -> Measured:
    """The same twice: kernels for shapes that are met for the first time are made while nobody looks at the clock.

    Else a larger number, whose further cells bring further shapes, would look slower than it is.
    """
    first = measure_one(samples, base, count)
    second = measure_one(samples, base, count)
    return replace(first, step_seconds=min(first.step_seconds, second.step_seconds))


def measure_one(samples: Sequence[Sample], base: Base, count: int) -> Measured:
    """Measure some cells in an engine of their own."""
    meter = MemoryMeter(base.model, base.compute.device)
    copies = [_copy(samples[place % len(samples)], place, base) for place in range(count)]
    layout = None if base.compute.numerics == "exact" else RowLayout([copy.run.shapes for copy in copies])
    engine = engine_class(samples[0].packed.cell.strategy, base)(base, layout, slots=count)
    try:
        for copy in copies:
            engine.admit(copy.run)
        engine.step()
        peak_bytes = meter.peak_bytes()
        for copy in copies:
            copy.run.data = copy.ordinary
        step_seconds = statistics.median(_timed_step(engine) for _ in range(TIMED_STEPS))
    finally:
        engine.begin_steps_anew()
        for run in engine.live:
            engine.release(run)
    return Measured(cells=count, step_seconds=step_seconds, peak_bytes=peak_bytes)


def _timed_step(engine: PackEngine) -> float:
    started = now(engine.device)
    engine.step()
    return now(engine.device) - started


@dataclass(frozen=True, kw_only=True)
class _Copy:
    run: CellRun
    """On its longest texts."""
    ordinary: CellData


def _copy(sample: Sample, place: int, base: Base) -> _Copy:
    """A run of its own that trains on few rows of the cell and moves nothing."""
    cell = sample.packed.cell
    recipe = replace(cell.recipe, learning_rate=0.0, epochs=1, gradient_accumulation=1, length_bucketing=None)
    packed = replace(sample.packed, cell=replace(cell, cell_id=f"probe-{place}", recipe=recipe))
    rows = recipe.batch_size * (1 + TIMED_STEPS)
    by_length = np.argsort(-sample.data.train_lengths, kind="stable")
    longest = _with_rows(sample.data, np.resize(by_length[:rows], rows))
    ordinary = _with_rows(sample.data, np.resize(np.arange(sample.data.num_train), rows))
    return _Copy(run=start_cell(packed, longest, base), ordinary=ordinary)


def _with_rows(data: CellData, rows: np.ndarray) -> CellData:
    """Some of the training rows and nothing else."""
    return replace(
        data,
        tokens={"train": tuple(data.tokens["train"][row] for row in rows), "validation": (), "test": ()},
        labels={**data.labels, "train": data.labels["train"][rows]},
    )
