"""Do two arms predict the same? Compared without dropout, because the random masks of two libraries never agree."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from column import Column, spread
from packed_modes import ColumnRun, Mode, run_column
from prepared import prepare_column, without_dropout
from trainer_baseline import run_baseline


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How close the test predictions of two arms are."""

    cells: int
    predictions: int
    equal_labels: float
    """Share of equal predicted labels."""
    largest_logit_difference: float
    median_logit: float
    """Median of the baseline's absolute logits, to judge the difference by."""


def compare(baseline: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> Agreement:
    """Compare logits of the cells that both have.

    Args:
        baseline: cell_id -> [rows, classes].
        other: the same.
    Returns:
        the comparison over all rows of all common cells.
    Raises:
        ValueError: no common cell, or unequal rows.
    """
    common = sorted(set(baseline) & set(other))
    if not common:
        raise ValueError("the two arms have no cell in common")
    equal, differences, sizes = [], [], []
    for cell_id in common:
        ours, theirs = other[cell_id], baseline[cell_id]
        if ours.shape != theirs.shape:
            raise ValueError(f"cell {cell_id}: logits {ours.shape} against {theirs.shape}")
        equal.append(ours.argmax(1) == theirs.argmax(1))
        differences.append(np.abs(ours - theirs).max())
        sizes.append(np.abs(theirs).ravel())
    labels = np.concatenate(equal)
    return Agreement(
        cells=len(common),
        predictions=len(labels),
        equal_labels=float(labels.mean()),
        largest_logit_difference=float(max(differences)),
        median_logit=float(np.median(np.concatenate(sizes))),
    )


def measure_agreement(
    column: Column, modes: tuple[Mode, ...], *, cells: int, device: str, threads: int, cache: Path
) -> dict[str, Any]:
    """Train cells in all modes and with the Trainer, all without dropout, and compare the test predictions.

    Returns:
        mode name -> comparison.
    """
    with tempfile.TemporaryDirectory(prefix="without-dropout-") as folder:
        calm = without_dropout(column, Path(folder), cache)
        calm = Column(model=calm.model, cells=spread(calm.cells, cells))
        start = prepare_column(calm, cache)
        baseline = run_baseline(calm, calm.cells, start, device=device, threads=threads)
        return {
            mode.name: asdict(_compared(baseline, run_column(calm, mode, device=device, threads=threads)))
            for mode in modes
        }


def _compared(baseline: ColumnRun, ours: ColumnRun) -> Agreement:
    return compare(baseline.test_logits, ours.test_logits)
