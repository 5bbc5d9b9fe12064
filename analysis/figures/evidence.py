"""What a result folder keeps beside its numbers, read one cell at a time: curves, predictions, bins, thresholds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from jobs.errors import EnvironmentProblem

CURVES: Final = "curves.parquet"
PREDICTIONS: Final = "predictions.parquet"
RELIABILITY: Final = "reliability.parquet"
SENSITIVITY: Final = "sensitivity.parquet"
DECISIONS: Final = "decisions.json"
MOST_BYTES: Final = 64 << 20
"""A JSON file larger than this is none of ours."""


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What was right and what was said, on the rows of one split."""

    label_names: tuple[str, ...]
    labels: NDArray[np.int64]
    """[rows] of a single-label cell, 0/1 [rows, labels] of a multi-label one."""
    predicted: NDArray[np.int64]

    @property
    def is_multi_label(self) -> bool:
        """Rows may carry several labels."""
        return self.labels.ndim == 2


def read_table(folder: Path | None, name: str) -> pd.DataFrame | None:
    """One table of a result folder; None when the folder does not keep it.

    Raises:
        EnvironmentProblem: the file is there but cannot be read.
    """
    path = None if folder is None else folder / name
    if path is None or not path.is_file():
        return None
    try:
        with pq.ParquetFile(path) as file:
            return file.read(use_threads=False).to_pandas(use_threads=False)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise _damaged(path, error) from error


def read_json(folder: Path | None, name: str) -> dict[str, Any] | None:
    """One JSON object of a result folder; None when the folder does not keep it.

    Raises:
        EnvironmentProblem: the file is there but is no JSON object.
    """
    path = None if folder is None else folder / name
    if path is None or not path.is_file():
        return None
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"larger than {MOST_BYTES >> 20} MiB")
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error
    if not isinstance(found, dict):
        raise _damaged(path, "a JSON object is expected")
    return found


def label_names(folder: Path | None) -> tuple[str, ...]:
    """The labels of a cell in the order of its classes; empty when nothing says them."""
    found = read_json(folder, DECISIONS) or read_json(folder, "result.json") or {}
    return tuple(str(name) for name in found.get("label_names") or ())


def read_truth(folder: Path | None, *, split: str = "test") -> Truth | None:
    """Labels and predictions of every row of a split; None when the folder keeps none.

    Raises:
        EnvironmentProblem: the file is there but cannot be read.
    """
    table = read_table(folder, PREDICTIONS)
    if table is None:
        return None
    table = table[table["split"] == split]
    if not len(table):
        return None
    known = label_names(folder)
    if "label" in table:
        labels, predicted = table["label"].to_numpy(np.int64), table["predicted"].to_numpy(np.int64)
        classes = 1 + int(max(labels.max(), predicted.max()))
    else:
        classes = sum(name.startswith("label_") for name in table)
        labels, predicted = (_columns(table, kind, classes) for kind in ("label", "predicted"))
    names = tuple(known[place] if place < len(known) else str(place) for place in range(max(classes, len(known))))
    return Truth(label_names=names, labels=labels, predicted=predicted)


def confusion_of(truths: Sequence[Truth]) -> NDArray[np.float64]:
    """Rows of each true class (down) by said class (across), summed over cells with equal labels."""
    size = len(truths[0].label_names)
    counts = np.zeros((size, size))
    for truth in truths:
        np.add.at(counts, (truth.labels, truth.predicted), 1.0)
    return counts


def label_tables(truths: Sequence[Truth]) -> NDArray[np.float64]:
    """[labels, 2, 2] counts of multi-label cells: does not carry or carries (down) by not said or said (across)."""
    size = len(truths[0].label_names)
    counts = np.zeros((size, 2, 2))
    for truth in truths:
        for real in (0, 1):
            for said in (0, 1):
                counts[:, real, said] += ((truth.labels == real) & (truth.predicted == said)).sum(axis=0)
    return counts


def pooled_bins(tables: Sequence[pd.DataFrame], *, label: str = "") -> dict[str, pd.DataFrame]:
    """Bins of a reliability diagram by method, pooled over cells: low, high, rows, confidence, share."""
    together = pd.concat(list(tables), ignore_index=True)
    together = together[together["label"].fillna("") == label]
    found: dict[str, pd.DataFrame] = {}
    for method in dict.fromkeys(together["method"]):
        rows = []
        for (low, high), group in together[together["method"] == method].groupby(["low", "high"], sort=True):
            weight = group["rows"].to_numpy(float)
            rows.append(
                {
                    "low": low,
                    "high": high,
                    "rows": int(weight.sum()),
                    "confidence": float(np.average(group["confidence"], weights=weight)),
                    "share": float(np.average(group["share"], weights=weight)),
                }
            )
        found[str(method)] = pd.DataFrame(rows)
    return found


def thresholds_of(folder: Path | None) -> Mapping[str, Any] | None:
    """What was fitted for thresholds, as decisions.json has it; None for single-label cells and where it was off."""
    found = read_json(folder, DECISIONS)
    return None if found is None else found.get("thresholds")


def _columns(table: pd.DataFrame, kind: str, classes: int) -> NDArray[np.int64]:
    return np.column_stack([table[f"{kind}_{place}"].to_numpy(np.int64) for place in range(classes)])


def _damaged(path: Path, error: object) -> EnvironmentProblem:
    return EnvironmentProblem(f"cannot read {path}: {error}. `finegrid doctor` says which results are damaged.")
