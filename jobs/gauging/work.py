"""Gauging: slices of the models of a plan train a few steps, as its cells will, on made-up rows of the right lengths.

The engine is the one that trains cells; learning rate 0, nothing is kept but the figures. Of a large model one and
two layers are measured, and the others follow from the difference.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil
import torch
from torch import nn

from jobs.errors import UserError, classify
from jobs.gauging.book import keep_gauge
from jobs.gauging.messages import Answer, Gauge, Gauged, Request, Wish
from jobs.gauging.shapes import config_of
from jobs.gauging.slices import layer_counts, layer_parameters, write_slice
from jobs.models.base import Base
from jobs.models.device import resolve_compute
from jobs.models.families import family_of
from jobs.models.loading import load_base
from jobs.spec import ComputeSpec, ModelSpec, PackedCell, Strategy
from jobs.training.bank import RowLayout
from jobs.training.cell_run import CellData, start_cell
from jobs.training.engines import HeadEngine, engine_class
from jobs.training.peak_memory import model_bytes, return_freed_memory
from jobs.training.slot_choice import Measured
from jobs.training.slot_probe import Sample, measure_one
from jobs.work_process import Say

COUNTS = (1, 4)
"""Cells in one engine that are tried."""
WARM_UP_STEPS = 2
STEPS = 10
STEPS_BUDGET_S = 0.7
"""No further step is begun after this time, except for one after those for warming up."""
TEST_TEXTS = 48
_CPU = torch.device("cpu")


def answer(request: Request, say: Say) -> Answer:
    """Gauge as many wishes as time allows.

    Side effects:
        keeps every gauge in the cache folder.
    """
    start_s, process_bytes = time.process_time(), int(psutil.Process().memory_info().rss)
    end, found = time.monotonic() + request.budget_s, []
    for wish in request.wishes:
        if time.monotonic() >= end:
            break
        model = wish.cell.model
        say(f"{model.name if model else ''} {wish.cell.strategy}")
        try:
            gauge = _gauge(wish, start_s, process_bytes)
        except Exception as error:  # one kind of cell that cannot be gauged is estimated from its size
            found.append(Gauged(key=wish.key, reason=classify(error)[1]))
            continue
        keep_gauge(Path(request.cache), wish.key, gauge)
        found.append(Gauged(key=wish.key, gauge=gauge))
    return Answer(gauged=tuple(found))


@dataclass(frozen=True, kw_only=True)
class _Figures:
    """What was measured of one slice."""

    layers: int
    measured: tuple[Measured, ...]
    inference_seconds: float
    feature_seconds: float
    load_seconds: float
    base_bytes: int


def _gauge(wish: Wish, start_s: float, process_bytes: int) -> Gauge:
    model = wish.cell.model
    if model is None or wish.cell.strategy is Strategy.CHAIN:
        raise UserError("cells without training steps are not gauged")
    config = config_of(model)
    parameters, embeddings = layer_parameters(config)
    compute = resolve_compute(wish.cell.compute, parameters=parameters + embeddings, gpus=0)
    resolved = replace(
        wish.cell.compute, precision=compute.dtype_name, base=compute.base_mode, numerics=compute.numerics, device="cpu"
    )
    with tempfile.TemporaryDirectory(prefix="finegrid-gauge-") as scratch:
        slices = [
            _measured(wish, resolved, config, Path(scratch, f"slice-{count}"), count)
            for count in layer_counts(config, parameters)
        ]
    whole = slices[0] if len(slices) == 1 else _extrapolated(slices[0], slices[1], int(config.num_hidden_layers))
    cut = 0 if wish.cell.strategy is Strategy.FULL else embeddings * (4 if resolved.precision == "fp32" else 2)
    return _as_gauge(whole, start_s, process_bytes, cut)


def _measured(wish: Wish, compute: ComputeSpec, config: object, folder: Path, layers: int) -> _Figures:
    """Train, evaluate and weigh one slice."""
    cell = wish.cell
    family = family_of(config.model_type, declared=cell.family)  # type: ignore[attr-defined]
    is_full = cell.strategy is Strategy.FULL
    highest = write_slice(config, folder, layers=layers, family=family, keeps_vocabulary=is_full)
    started = time.process_time()
    base = load_base(
        folder.name,
        ModelSpec(name=folder.name, source="folder", location=str(folder)),
        quantization=cell.quantization if cell.strategy is Strategy.QLORA else None,
        compute_spec=compute,
        gpus=0,
        cache=folder,
        trainable=is_full,
        stock=cell.strategy.is_stock,
        family=cell.family,
    )
    load_s = time.process_time() - started
    is_alone = is_full or base.is_stock
    # As `jobs.training.room` does: exact engines have one thread each.
    torch.set_num_threads(
        wish.threads if is_alone or (cell.strategy is Strategy.HEAD and compute.numerics != "exact") else 1
    )
    packed = _packed(wish, compute)
    sample = Sample(packed=packed, data=_made_up(wish, highest, wish.lengths))
    usual = _made_up(wish, highest, (round(sum(wish.lengths) / len(wish.lengths)),))
    measured = tuple(
        replace(measure_one([sample], base, count), step_seconds=_timed_steps(packed, usual, base, count))
        for count in (COUNTS[:1] if is_alone else COUNTS)
    )
    inference_s, feature_s = _timed_inference(packed, sample.data, base)
    figures = _Figures(
        layers=layers,
        measured=measured,
        inference_seconds=inference_s,
        feature_seconds=feature_s,
        load_seconds=load_s,
        base_bytes=model_bytes(base.model) if isinstance(base.model, nn.Module) else 0,
    )
    del base
    return_freed_memory(_CPU)
    return figures


def _timed_steps(packed: PackedCell, data: CellData, base: Base, count: int) -> float:
    """Median seconds of a step of some cells on texts of equal length, whose kernels are made once.

    Texts of many lengths would meet new shapes in most of so few steps, which in a cell's training are rare.
    """
    runs = [start_cell(packed, data, base) for _ in range(count)]
    for place, run in enumerate(runs):
        run.packed = replace(packed, cell=replace(packed.cell, cell_id=f"gauge-{place}"))
    layout = None if base.compute.numerics == "exact" else RowLayout([run.shapes for run in runs])
    engine = engine_class(packed.cell.strategy, base)(base, layout, slots=count)
    try:
        for run in runs:
            engine.admit(run)
        seconds: list[float] = []
        while len(seconds) < WARM_UP_STEPS + STEPS and (len(seconds) <= WARM_UP_STEPS or sum(seconds) < STEPS_BUDGET_S):
            started = clock_s()
            engine.step()
            seconds.append(clock_s() - started)
    finally:
        engine.begin_steps_anew()
        for run in engine.live:
            engine.release(run)
    return statistics.median(seconds[WARM_UP_STEPS:])


def clock_s() -> float:
    """Seconds of work: of the processor with one thread, so that a busy machine makes no cell look dearer."""
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def _packed(wish: Wish, compute: ComputeSpec) -> PackedCell:
    recipe = replace(
        wish.cell.recipe,
        learning_rate=0.0,
        epochs=WARM_UP_STEPS + STEPS,
        gradient_accumulation=1,
        resample=None,
        class_weights="none",
        length_bucketing=None,
    )
    cell = replace(wish.cell, cell_id="gauge", compute=compute, recipe=recipe)
    return PackedCell(cell=cell, epoch=1, attempt=1)


def _made_up(wish: Wish, highest_token: int, of_lengths: Sequence[int]) -> CellData:
    """Texts of random tokens with given lengths."""
    rng = np.random.default_rng(0)
    cell = wish.cell
    labels = min(cell.data.num_labels or 8, 64)
    rows = {"train": max(16, 4 * cell.recipe.batch_size), "validation": 2, "test": TEST_TEXTS}
    lengths = {name: rng.permutation(np.resize(np.array(of_lengths), count)) for name, count in rows.items()}
    tokens = {
        name: tuple(rng.integers(5, highest_token, max(1, int(length))).astype(np.int32) for length in own)
        for name, own in lengths.items()
    }
    is_multi = cell.data.task == "multi_label"
    truth = {
        name: rng.integers(0, 2, (count, labels)).astype(np.uint8) if is_multi else rng.integers(0, labels, count)
        for name, count in rows.items()
    }
    return CellData(
        label_names=tuple(f"label {place}" for place in range(labels)),
        tokens=tokens,
        labels=truth,
        row_ids={name: tuple(map(str, range(count))) for name, count in rows.items()},
        hashes={},
        counts={},
        marks=(),
    )


def _timed_inference(packed: PackedCell, data: CellData, base: Base) -> tuple[float, float]:
    """Seconds to evaluate a text, and, of strategy head, to see it through the base."""
    run = start_cell(packed, data, base)
    layout = None if base.compute.numerics == "exact" else RowLayout([run.shapes])
    engine = engine_class(packed.cell.strategy, base)(base, layout, slots=1)
    feature_s = 0.0
    if isinstance(engine, HeadEngine):
        texts = data.tokens["test"]
        engine.features([text[::-1] for text in texts])  # others of the same lengths
        started = clock_s()
        engine.features(texts)
        feature_s = (clock_s() - started) / len(texts)
    engine.admit(run)
    engine.predict([run], "test")
    started = clock_s()
    engine.predict([run], "test")
    inference_s = (clock_s() - started) / TEST_TEXTS
    engine.release(run)
    return inference_s, feature_s


def _extrapolated(one: _Figures, two: _Figures, layers: int) -> _Figures:
    """A whole model from one and two of its layers: every further layer adds what the second one added."""

    def on(first: float, second: float) -> float:
        return first + max(0.0, second - first) * (layers - 1)

    measured = tuple(
        Measured(
            cells=a.cells,
            step_seconds=on(a.step_seconds, b.step_seconds),
            peak_bytes=round(on(a.peak_bytes, b.peak_bytes)),
        )
        for a, b in zip(one.measured, two.measured, strict=True)
    )
    return _Figures(
        layers=layers,
        measured=measured,
        inference_seconds=on(one.inference_seconds, two.inference_seconds),
        feature_seconds=on(one.feature_seconds, two.feature_seconds),
        load_seconds=on(one.load_seconds, two.load_seconds),
        base_bytes=round(on(one.base_bytes, two.base_bytes)),
    )


def _as_gauge(found: _Figures, start_s: float, process_bytes: int, cut_bytes: int) -> Gauge:
    first, last = found.measured[0], found.measured[-1]
    best = min(found.measured, key=lambda each: each.step_seconds / each.cells)
    # The first steps of a base also touch its weights and make working copies of them, which stay for all cells.
    cell_bytes = max(0, (last.peak_bytes - found.base_bytes) // last.cells)
    return Gauge(
        step_seconds=best.step_seconds / best.cells,
        cells=best.cells,
        alone_seconds=first.step_seconds,
        inference_seconds=found.inference_seconds,
        feature_seconds=found.feature_seconds,
        start_seconds=start_s,
        load_seconds=found.load_seconds,
        process_bytes=process_bytes,
        base_bytes=max(found.base_bytes, first.peak_bytes - cell_bytes) + cut_bytes,
        cell_bytes=cell_bytes,
    )
