"""A trained cell becomes a result folder: metrics, predictions, curves, adapter, costs, provenance."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jobs.evaluation.evaluate import Evaluation, EvaluationSettings, SplitLogits, evaluate_cell, settings_of
from jobs.evaluation.files import evaluation_files
from jobs.model_card import CARD_FILE, model_card
from jobs.models.loading import BASE_PREFIX, Base
from jobs.provenance import machine
from jobs.result_files import Writer, curves_writer, predictions_writer
from jobs.spec import CellResult, Strategy
from jobs.storage import Layout, publish
from jobs.training.cell_run import CellRun
from jobs.training.peak_memory import peak_bytes
from jobs.training.reloading import Reloaded
from jobs.training.slot_search import Slots
from jobs.training.solo_costs import Solo

_FITTING_NOTHING = EvaluationSettings(thresholds=None, calibration=())
"""For candidates of a tuning, which have no test rows to apply anything to."""


def publish_cell(
    run: CellRun,
    test_logits_nC: np.ndarray,
    tensors: Mapping[str, Tensor],
    base: Base,
    layout: Layout,
    *,
    folders: Mapping[str, Path],
    reloaded: Reloaded,
    solo: Solo,
    slots: Slots,
) -> tuple[Path, float | None]:
    """Write a finished cell's folder.

    Args:
        run: the cell, trained.
        test_logits_nC: logits of its chosen state on the test rows.
        tensors: its chosen state's own tensors.
        base: what it was trained on.
        layout: the results folder.
        folders: its exported weights, by their names in the result folder; moved there.
        reloaded: what came of loading them again.
        solo: what the cell costs alone.
        slots: how many cells of its pack trained together.
    Returns:
        the folder, and the test accuracy where defined.
    """
    evaluation = evaluation_of(run, test_logits_nC)
    result = cell_result(run, evaluation, tensors, base, reloaded, solo, slots)
    data = run.data
    is_candidate = run.packed.cell.candidate is not None
    parts = {} if is_candidate else {"test": (data.row_ids["test"], data.labels["test"], test_logits_nC)}
    if run.best_validation_nC is not None:
        parts["validation"] = (data.row_ids["validation"], data.labels["validation"], run.best_validation_nC)
    card = "" if is_candidate else model_card(result)
    files = {
        "predictions.parquet": predictions_writer(parts),
        "curves.parquet": curves_writer(run.curves),
        **({} if is_candidate else evaluation_files(evaluation)),
        **{name: _mover(folder, card) for name, folder in folders.items()},
    }
    folder = publish(layout, result, files)
    return folder, next((m.value for m in result.metrics if (m.split, m.name) == ("test", "accuracy")), None)


def _mover(folder: Path, card: str) -> Writer:
    """A writer that moves a folder there is already and says what it holds."""

    def move(path: Path) -> None:
        folder.rename(path)
        if card:
            (path / CARD_FILE).write_text(card, "utf-8")

    return move


def evaluation_of(run: CellRun, test_logits_nC: np.ndarray) -> Evaluation:
    """All metrics of a trained cell; thresholds and calibration are fitted on its validation rows.

    Raises:
        Diverged: logits are not finite.
    """
    cell, labels, validation = run.packed.cell, run.data.labels, None
    if run.best_validation_nC is not None:
        validation = SplitLogits(logits_nC=run.best_validation_nC, labels=labels["validation"])
    return evaluate_cell(
        label_names=run.data.label_names,
        test=SplitLogits(logits_nC=test_logits_nC, labels=labels["test"]),
        validation=validation,
        settings=settings_of(cell.evaluation) if cell.candidate is None else _FITTING_NOTHING,
    )


def cell_result(
    run: CellRun,
    evaluation: Evaluation,
    tensors: Mapping[str, Tensor],
    base: Base,
    reloaded: Reloaded,
    solo: Solo,
    slots: Slots,
) -> CellResult:
    """Everything a cell leaves behind in numbers; of a candidate, those of its validation rows."""
    is_candidate = run.packed.cell.candidate is not None
    return CellResult(
        cell=run.packed.cell,
        epoch=run.packed.epoch,
        attempt=run.packed.attempt,
        metrics=tuple(metric for metric in evaluation.metrics if metric.split != "test" or not is_candidate),
        counts=counts_of(run, base),
        hashes={**run.data.hashes, "weights": weights_hash(tensors)},
        costs={**_costs(run, base), **reloaded.costs, **solo.costs},
        provenance={
            **_provenance(base),
            **_resumption(run),
            **slots.provenance,
            **reloaded.provenance,
            **solo.provenance,
        },
        epochs=run.epoch,
        marks=(*_marks(run), *evaluation.marks, *reloaded.marks, *solo.marks),
        label_names=run.data.label_names,
    )


def weights_hash(tensors: Mapping[str, Tensor]) -> str:
    """sha256 over names and exact float32 bytes, in name order."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def counts_of(run: CellRun, base: Base) -> dict[str, int]:
    """A cell's numbers of rows, parameters and steps; a head that the checkpoint had and nobody uses does not count."""
    trainable = sum(torch.Size(shape).numel() for shape in run.shapes.values())
    added = sum(torch.Size(s).numel() for name, s in run.shapes.items() if not name.startswith(BASE_PREFIX))
    recipe = run.recipe
    return {
        **{f"num_{name}": len(ids) for name, ids in run.data.tokens.items()},
        "trainable_parameters": trainable,
        "total_parameters": base.parameters + added,
        "best_step": run.best_step,
        "stopped_step": run.step,
        "effective_batch_size": recipe.batch_size * recipe.gradient_accumulation,
        "skipped_steps": run.skipped_steps,
        **run.data.counts,
    }


def _costs(run: CellRun, base: Base) -> dict[str, float]:
    return {
        "train_seconds": run.seconds,
        "train_samples_per_second": run.trained_rows / max(run.seconds, 1e-9),
        "eval_samples_per_second": run.eval_rows / max(run.eval_seconds, 1e-9),
        "peak_memory_bytes": float(peak_bytes(base.compute.device)),
        "total_flops": _flops_per_weight(run.packed.cell.strategy) * base.parameters * run.tokens_trained,
    }


def _flops_per_weight(strategy: Strategy) -> float:
    """Operations a weight and trained token: 2 forwards, 2 for input gradients, 2 for weight gradients."""
    return {Strategy.FULL: 6.0, Strategy.HEAD: 2.0, Strategy.CHAIN: 2.0}.get(strategy, 4.0)


def _provenance(base: Base) -> dict[str, Any]:
    compute = base.compute
    device = torch.cuda.get_device_name(compute.device) if compute.device.type == "cuda" else "cpu"
    return {
        **machine(),
        "device": device,
        "dtype": compute.dtype_name,
        "base_mode": compute.base_mode,
        "numerics": compute.numerics,
        **({"engine": "stock"} if base.is_stock else {}),
        "threads": torch.get_num_threads(),
        "costs": "attributed: this cell's share of its pack; memory is the whole pack's",
    }


def _resumption(run: CellRun) -> dict[str, Any]:
    return {"resumed_from_steps": list(run.resumed_from_steps)} if run.resumed_from_steps else {}


def _marks(run: CellRun) -> tuple[str, ...]:
    marks = [*run.data.marks, *run.marks]
    if run.skipped_steps:
        marks.append(f"{run.skipped_steps} steps skipped because fp16 overflowed")
    return tuple(marks)
