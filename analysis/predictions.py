"""Predictions of single test rows, read when asked for, and laid out as seeds x rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from analysis.loading import Results
from analysis.row_scores import ROW_MEANS, row_scores
from jobs.errors import EnvironmentProblem

FILE: Final = "predictions.parquet"


@dataclass(frozen=True, kw_only=True)
class CellPredictions:
    """What one cell said about the rows of one split, in the order of its file."""

    row_ids: NDArray[np.object_]
    labels: NDArray[Any]
    """Class indices [rows], or 0/1 [rows, labels]."""
    predicted: NDArray[Any]
    """Likewise."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What the test rows that some seeds share add to a metric."""

    seeds: tuple[int, ...]
    row_ids: tuple[str, ...]
    scores: NDArray[Any]
    """[seeds, rows]: rights and wrongs for accuracy and subset accuracy; else floats whose mean is the metric."""
    metric: str = "accuracy"

    @property
    def is_row_mean(self) -> bool:
        """A part of the rows has a number of its own, so that arms can meet on the rows that they share."""
        return self.metric in ROW_MEANS

    def on(self, seeds: Sequence[int], row_ids: Sequence[str]) -> NDArray[Any]:
        """Scores of chosen seeds and rows, in that order."""
        if tuple(row_ids) == self.row_ids:
            return self.scores[[self.seeds.index(seed) for seed in seeds]]
        place = {row: index for index, row in enumerate(self.row_ids)}
        return self.scores[np.ix_([self.seeds.index(seed) for seed in seeds], [place[row] for row in row_ids])]


@dataclass
class Predictions:
    """Reads result folders one file at a time; keeps one number a row and metric, and row ids once a test set."""

    folders: Mapping[str, Path]
    split: str = "test"
    _row_ids: dict[str, tuple[str, ...]] = field(default_factory=dict, init=False)
    _scores: dict[tuple[str, str], tuple[str, NDArray[Any]] | None] = field(default_factory=dict, init=False)

    def of(self, cell_id: str) -> CellPredictions | None:
        """All predictions of a cell; None when its folder keeps none.

        Raises:
            EnvironmentProblem: the file is there but cannot be read.
        """
        table = self._read(cell_id, with_logits=False)
        if table is None:
            return None
        return CellPredictions(
            row_ids=np.asarray(table.column("row_id").to_numpy(zero_copy_only=False)),
            labels=_side(table, "label"),
            predicted=_side(table, "predicted"),
        )

    def logits(self, cell_id: str) -> NDArray[np.float32] | None:
        """Logits [rows, classes] of a cell, in the order of `of`; None when its folder keeps none."""
        table = self._read(cell_id, with_logits=True)
        if table is None:
            return None
        names = [name for name in table.column_names if name.startswith("logit_")]
        return np.column_stack([table.column(f"logit_{i}").to_numpy() for i in range(len(names))])

    def answers(self, cells: Mapping[int, str], metric: str = "accuracy") -> Answers | None:
        """What each row adds to a metric, for cells that differ in their seed only, on rows that all were tested on.

        Args:
            cells: seed -> cell.
            metric: its name in the store.
        Returns:
            the answers of the cells that keep predictions; None when none does, when they share no row, or when the
            metric is no mean over rows and they were not tested on the very same ones.
        """
        found = {
            seed: kept for seed, cell_id in sorted(cells.items()) if (kept := self._kept(cell_id, metric)) is not None
        }
        if not found:
            return None
        keys = {key for key, _ in found.values()}
        if len(keys) == 1:
            row_ids = self._row_ids[keys.pop()]
            return Answers(
                seeds=tuple(found),
                row_ids=row_ids,
                scores=np.stack([scores for _, scores in found.values()]),
                metric=metric,
            )
        row_ids = common_rows([self._row_ids[key] for key, _ in found.values()])
        if metric not in ROW_MEANS or not row_ids:
            return None
        chosen = [
            Answers(seeds=(seed,), row_ids=self._row_ids[key], scores=scores[None]).on((seed,), row_ids)[0]
            for seed, (key, scores) in found.items()
        ]
        return Answers(seeds=tuple(found), row_ids=row_ids, scores=np.stack(chosen), metric=metric)

    def _kept(self, cell_id: str, metric: str) -> tuple[str, NDArray[Any]] | None:
        """Which test set a cell has, and what its rows add to a metric in the sorted order of their ids."""
        if (cell_id, metric) not in self._scores:
            found = self.of(cell_id)
            scores = None if found is None else row_scores(metric, found.labels, found.predicted)
            if found is None or scores is None:
                self._scores[cell_id, metric] = None
            else:
                order = np.argsort(found.row_ids, kind="stable")
                row_ids = tuple(found.row_ids[order].tolist())
                key = hashlib.sha256("\n".join(row_ids).encode()).hexdigest()
                self._row_ids.setdefault(key, row_ids)
                kept = scores[order]
                self._scores[cell_id, metric] = key, kept if kept.dtype == np.bool_ else kept.astype(np.float32)
        return self._scores[cell_id, metric]

    def _read(self, cell_id: str, *, with_logits: bool) -> Any:
        folder = self.folders.get(cell_id)
        path = None if folder is None else folder / FILE
        if path is None or not path.is_file():
            return None
        try:
            with pq.ParquetFile(path) as file:
                names = file.schema_arrow.names
                columns = [name for name in names if with_logits or not name.startswith("logit_")]
                table = file.read(columns=columns, use_threads=False)
        except (pa.ArrowException, OSError, KeyError) as error:
            raise EnvironmentProblem(
                f"cannot read {path}: {error}. `finegrid doctor` says which results are damaged."
            ) from error
        return table.filter(pc.equal(table.column("split"), self.split))


def _side(table: Any, name: str) -> NDArray[Any]:
    """The labels or the predictions: one column of class indices, or one 0/1 column a label."""
    if name in table.column_names:
        return np.asarray(table.column(name).to_numpy())
    columns = [column for column in table.column_names if column.startswith(f"{name}_")]
    return np.column_stack([table.column(f"{name}_{index}").to_numpy() for index in range(len(columns))])


def predictions_of(results: Results, split: str = "test") -> Predictions:
    """The predictions of a loaded store; nothing is read before it is asked for."""
    return Predictions(results.folders, split)


def common_rows(row_ids: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Row ids that all lists have, in the order of the first."""
    shared = set(row_ids[0]).intersection(*row_ids[1:])
    return tuple(row for row in row_ids[0] if row in shared)
