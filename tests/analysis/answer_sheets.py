"""Made-up stores with single predictions: rights and wrongs of any arm, seed and row, in real files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analysis.loading import Results, results_from
from jobs.result_files import predictions_writer
from tests.analysis.synthetic import cell_row, number

Sheet = tuple[Mapping[str, Any], np.ndarray]
"""Values of a cell's columns, and its rights [rows]."""


def results_of(folder: Path, sheets: Sequence[Sheet], extra: Sequence[Mapping[str, Any]] = (), **rows: Any) -> Results:
    """A store of done cells with predictions, and of further cells as they are.

    Args:
        folder: where the result folders are made.
        sheets: the done cells.
        extra: rows of other cells, made by `cell_row`.
        rows: by cell id, other row ids than r0, r1, ...
    Returns:
        its tables, with folders.
    """
    cells: list[dict[str, Any]] = []
    metrics, folders = [], {}
    for changes, rights in sheets:
        cell = cell_row(**changes)
        cells.append(cell)
        metrics.append(number(cell, float(np.mean(rights))))
        folders[cell["cell_id"]] = folder / cell["cell_id"]
        write_predictions(folders[cell["cell_id"]], rights, rows.get(cell["cell_id"]))
    return results_from("sheets", [*cells, *extra], metrics, folders=folders)


def write_predictions(folder: Path, rights: np.ndarray, row_ids: Sequence[str] | None = None) -> None:
    """Two classes; label 0 everywhere in the test split, and one validation row that must not count."""
    folder.mkdir(parents=True)
    ids = list(row_ids) if row_ids is not None else [f"r{index}" for index in range(len(rights))]
    logits = np.where(np.asarray(rights, dtype=bool)[:, None], [[2.0, -1.0]], [[-1.0, 2.0]]).astype(np.float32)
    wrong = np.array([[-1.0, 2.0]], dtype=np.float32)
    parts = {
        "validation": (["v0"], np.zeros(1, dtype=np.int64), wrong),
        "test": (ids, np.zeros(len(ids), dtype=np.int64), logits),
    }
    predictions_writer(parts)(folder / "predictions.parquet")


def sheets_of(
    shares: Mapping[tuple[str, str, int, int], float],
    *,
    seeds: int = 3,
    rows: int = 200,
    noise: float = 0.5,
    seed: int = 0,
) -> list[Sheet]:
    """Answer sheets of arms of known skill.

    Args:
        shares: (model, strategy, num_labels, num_samples) -> expected accuracy.
        seeds: seeds an arm.
        rows: test rows, shared by all.
        noise: how much of an answer is chance rather than the row's difficulty, 0 to 1.
        seed: of the random numbers.
    Returns:
        one sheet a cell.
    """
    random = np.random.default_rng(seed)
    difficulty = random.permutation(rows) / rows
    made = []
    for (model, strategy, labels, samples), share in shares.items():
        for index in range(seeds):
            own = random.permutation(rows) / rows
            rights = np.where(random.random(rows) < noise, own, difficulty) < share
            changes = {"num_labels": labels, "num_samples": samples, "seed": index, "strategy": strategy}
            baseline = strategy in ("majority", "tfidf")
            made.append(({**changes, "model": None if baseline else model, "baseline": baseline}, rights))
    return made
