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


@dataclass(frozen=True, kw_only=True)
class Bin:
    """One bin of a reliability diagram: rows whose confidence lies in it, and how many of them were right."""

    low: float
    high: float
    rows: int
    confidence: float
    share: float


def read_columns(folder: Path | None, name: str) -> dict[str, list[Any]] | None:
    """One table of a result folder as lists, by column; None when the folder does not keep it, or it has no rows.

    Raises:
        EnvironmentProblem: the file is there but cannot be read.
    """
    found = _read(folder, name)
    return found.to_pydict() if found is not None and found.num_rows else None


def read_table(folder: Path | None, name: str) -> pd.DataFrame | None:
    """One table of a result folder; None when the folder does not keep it.

    Raises:
        EnvironmentProblem: the file is there but cannot be read.
    """
    found = _read(folder, name)
    return None if found is None else found.to_pandas(use_threads=False)


def _read(folder: Path | None, name: str) -> Any:
    path = None if folder is None else folder / name
    if path is None or not path.is_file():
        return None
    try:
        with pq.ParquetFile(path) as file:
            return file.read(use_threads=False)
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
    table = _read(folder, PREDICTIONS)
    if table is None:
        return None
    table = table.filter(pa.array(np.asarray(table.column("split").to_numpy(zero_copy_only=False)) == split))
    if not table.num_rows:
        return None
    known = label_names(folder)
    if "label" in table.column_names:
        labels, predicted = (_column(table, name) for name in ("label", "predicted"))
        classes = 1 + int(max(labels.max(), predicted.max()))
    else:
        classes = sum(name.startswith("label_") for name in table.column_names)
        labels, predicted = (
            np.column_stack([_column(table, f"{kind}_{place}") for place in range(classes)])
            for kind in ("label", "predicted")
        )
    names = tuple(known[place] if place < len(known) else str(place) for place in range(max(classes, len(known))))
    return Truth(label_names=names, labels=labels, predicted=predicted)


def _column(table: Any, name: str) -> NDArray[np.int64]:
    return np.asarray(table.column(name).to_numpy(), dtype=np.int64)


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


def pooled_bins(tables: Sequence[Mapping[str, Sequence[Any]]], *, label: str = "") -> dict[str, list[Bin]]:
    """Bins of a reliability diagram by method, pooled over cells.

    Args:
        tables: columns of reliability.parquet, one mapping a cell.
        label: of which label; empty: the most probable one, or all together.
    Returns:
        bins by method, ascending.
    """
    sums: dict[str, dict[tuple[float, float], list[float]]] = {}
    for table in tables:
        columns = (table[name] for name in ("method", "label", "low", "high", "rows", "confidence", "share"))
        for method, whose, low, high, rows, confidence, share in zip(*columns, strict=True):
            if (whose or "") == label:
                total = sums.setdefault(method, {}).setdefault((low, high), [0.0, 0.0, 0.0])
                for place, value in enumerate((rows, rows * confidence, rows * share)):
                    total[place] += value
    return {
        method: [
            Bin(low=low, high=high, rows=int(rows), confidence=sure / rows, share=right / rows)
            for (low, high), (rows, sure, right) in sorted(bins.items())
        ]
        for method, bins in sums.items()
    }


def calibration_error(bins: Sequence[Bin]) -> float:
    """Mean distance of confidence and share over the rows of all bins (expected calibration error)."""
    total = sum(one.rows for one in bins)
    return sum(one.rows * abs(one.confidence - one.share) for one in bins) / total


def thresholds_of(folder: Path | None) -> Mapping[str, Any] | None:
    """What was fitted for thresholds, as decisions.json has it; None for single-label cells and where it was off."""
    found = read_json(folder, DECISIONS)
    return None if found is None else found.get("thresholds")


def _damaged(path: Path, error: object) -> EnvironmentProblem:
    return EnvironmentProblem(f"cannot read {path}: {error}. `finegrid doctor` says which results are damaged.")
