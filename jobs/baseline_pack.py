"""Runs the baseline cells of a pack, one after another: no base, no torch."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from jobs.baselines import BaselineFit, fit_baseline
from jobs.data import PreparedData, prepare
from jobs.evaluation.evaluate import Evaluation, SplitLogits, evaluate_cell, settings_of
from jobs.evaluation.files import evaluation_files
from jobs.provenance import machine
from jobs.result_files import predictions_writer
from jobs.spec import CellResult, Command, Event, EventKind, PackedCell
from jobs.storage import publish

if TYPE_CHECKING:
    from jobs.trial import Desk


def run_baselines(desk: Desk) -> Generator[Event, Command | None, None]:
    """Fit every waiting cell; a failing one becomes an event and the rest go on."""
    while desk.waiting and not desk.is_stopped:
        packed = desk.waiting.popleft()
        if packed.cell.cell_id in desk.given_up:
            desk.heed((yield desk.interrupted(packed)))
            continue
        desk.heed((yield desk.event(EventKind.CELL_STARTED, packed)))
        try:
            folder, accuracy = _run_cell(packed, desk)
        except Exception as error:
            desk.heed((yield desk.failed(packed, error)))
        else:
            desk.heed((yield desk.finished(packed, folder, accuracy)))


def _run_cell(packed: PackedCell, desk: Desk) -> tuple[Path, float | None]:
    cell = packed.cell
    data = prepare(cell.data, seed=cell.seed, cache=desk.workshop.cache)
    fit = fit_baseline(cell.strategy, data, seed=cell.seed)
    evaluation = evaluate_cell(
        label_names=data.label_names,
        test=SplitLogits(logits_nC=fit.logits["test"], labels=data.test.labels),
        validation=SplitLogits(logits_nC=fit.logits["validation"], labels=data.validation.labels),
        settings=settings_of(cell.evaluation),
    )
    result = _result(packed, data, fit, evaluation)
    parts = {
        name: (getattr(data, name).row_ids, getattr(data, name).labels, fit.logits[name])
        for name in ("validation", "test")
    }
    folder = publish(
        desk.workshop.layout, result, {"predictions.parquet": predictions_writer(parts), **evaluation_files(evaluation)}
    )
    return folder, next((m.value for m in result.metrics if (m.split, m.name) == ("test", "accuracy")), None)


def _result(packed: PackedCell, data: PreparedData, fit: BaselineFit, evaluation: Evaluation) -> CellResult:
    rows = {name: len(getattr(data, name).texts) for name in ("train", "validation", "test")}
    scored = rows["validation"] + rows["test"]
    return CellResult(
        cell=packed.cell,
        epoch=packed.epoch,
        attempt=packed.attempt,
        metrics=evaluation.metrics,
        counts={
            **{f"num_{name}": count for name, count in rows.items()},
            "trainable_parameters": fit.parameters,
            "total_parameters": fit.parameters,
            **data.counts,
        },
        hashes=dict(data.hashes),
        costs={
            "train_seconds": fit.train_seconds,
            "train_samples_per_second": rows["train"] / max(fit.train_seconds, 1e-9),
            "eval_samples_per_second": scored / max(fit.eval_seconds, 1e-9),
            "peak_memory_bytes": float(psutil.Process().memory_info().rss),
        },
        provenance={**machine(), "device": "cpu", "dtype": "fp64", "costs": "measured alone"},
        epochs=1.0,
        marks=(*data.marks, *evaluation.marks),
        label_names=tuple(data.label_names),
    )
