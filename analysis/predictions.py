"""Predictions of single test rows, read when asked for, and laid out as seeds x rows."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from analysis.loading import Results
from analysis.row_scores import ROW_MEANS, hidden_variance, row_scores
from jobs.errors import EnvironmentProblem

FILE: Final = "predictions.parquet"
_FILES_AT_ONCE: Final = min(4, os.cpu_count() or 1)
"""Threads that read: most of it happens outside of Python."""
_FILES_A_TASK: Final = 64
"""Files that a thread is handed at once."""


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
    truth: NDArray[Any]
    """What the rows are, in their order: class indices [rows], or 0/1 [rows, labels]."""
    metric: str = "accuracy"
    hidden: tuple[float, ...] = ()
    """Of each seed, the variance that its rows do not show (`hidden_variance`); empty: none."""

    def hidden_on(self, seeds: Sequence[int]) -> float:
        """The hidden variance on chosen seeds: that of a single one; several show enough of it themselves."""
        return self.hidden[self.seeds.index(seeds[0])] if self.hidden and len(seeds) == 1 else 0.0

    @property
    def is_row_mean(self) -> bool:
        """A part of the rows has a number of its own, so that arms can meet on the rows that they share."""
        return self.metric in ROW_MEANS

    def on(self, seeds: Sequence[int], row_ids: Sequence[str]) -> NDArray[Any]:
        """Scores of chosen seeds and rows, in that order."""
        chosen = self.scores[[self.seeds.index(seed) for seed in seeds]]
        return chosen if tuple(row_ids) == self.row_ids else chosen[:, self._places(row_ids)]

    def has_truth_of(self, other: Answers, row_ids: Sequence[str]) -> bool:
        """Whether some rows that both have are the same to both: arms may differ in how labels are grouped."""
        if self.truth is other.truth:
            return True
        return np.array_equal(self.truth[self._places(row_ids)], other.truth[other._places(row_ids)])

    def _places(self, row_ids: Sequence[str]) -> NDArray[np.intp]:
        place = {row: index for index, row in enumerate(self.row_ids)}
        return np.array([place[row] for row in row_ids], dtype=np.intp)


@dataclass(frozen=True, kw_only=True)
class _Kept:
    """What is kept of a cell's predictions for one metric."""

    test_set: str
    scores: NDArray[Any]
    """What its rows add, in the sorted order of their ids."""
    hidden: float


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """What all cells tested on the same rows have in common."""

    test_set: str
    places: NDArray[np.intp]
    """Rows of the split, as places in the file."""
    labels: NDArray[Any]
    order: NDArray[np.intp]
    """Brings them into the sorted order of their ids."""


@dataclass
class Predictions:
    """Reads result folders one file at a time; keeps one number a row and metric, and row ids once a test set."""

    folders: Mapping[str, Path]
    split: str = "test"
    _row_ids: dict[str, tuple[str, ...]] = field(default_factory=dict, init=False)
    _truths: dict[str, NDArray[Any]] = field(default_factory=dict, init=False)
    _rows: dict[bytes, _Rows] = field(default_factory=dict, init=False)
    _scores: dict[tuple[str, str], _Kept | None] = field(default_factory=dict, init=False)

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
        keys = {kept.test_set for kept in found.values()}
        if len(keys) == 1:
            key = keys.pop()
            return Answers(
                seeds=tuple(found),
                row_ids=self._row_ids[key],
                truth=self._truths[key],
                scores=np.stack([kept.scores for kept in found.values()]),
                metric=metric,
                hidden=tuple(kept.hidden for kept in found.values()),
            )
        row_ids = common_rows([self._row_ids[kept.test_set] for kept in found.values()])
        if metric not in ROW_MEANS or not row_ids:
            return None
        chosen = []
        for kept in found.values():
            place = {row: index for index, row in enumerate(self._row_ids[kept.test_set])}
            places = [place[row] for row in row_ids]
            chosen.append((kept.scores[places], self._truths[kept.test_set][places]))
        scores = np.stack([each for each, _ in chosen])
        return Answers(seeds=tuple(found), row_ids=row_ids, scores=scores, truth=chosen[0][1], metric=metric)

    def read_ahead(self, cells: Iterable[str], metric: str) -> None:
        """Read what `answers` will be asked for, several files at a time: large stores have ten thousand.

        Raises:
            EnvironmentProblem: a file is there but cannot be read.
        """

        def read(some: Sequence[str]) -> None:
            for cell_id in some:
                self._kept(cell_id, metric)

        wanted = list(cells)
        shares = [wanted[first : first + _FILES_A_TASK] for first in range(0, len(wanted), _FILES_A_TASK)]
        with ThreadPoolExecutor(max_workers=_FILES_AT_ONCE) as pool:
            # In the order asked for, so that of several damaged files the first one is told.
            for _ in pool.map(read, shares):
                pass

    def _kept(self, cell_id: str, metric: str) -> _Kept | None:
        if (cell_id, metric) not in self._scores:
            found = self._told(cell_id)
            self._scores[cell_id, metric] = None if found is None else _worked_out(*found, metric)
        return self._scores[cell_id, metric]

    def _told(self, cell_id: str) -> tuple[_Rows, NDArray[Any]] | None:
        """The rows of a cell, and what it said about them; rows that stand in many files alike are decoded once."""
        with self._opened(cell_id) as opened:
            if opened is None:
                return None
            source, file = opened
            written = _digest(source, file)
            if written not in self._rows:
                self._rows[written] = self._decoded(file)
            rows = self._rows[written]
            said = _side(_columns(file, "predicted"), "predicted")
        return rows, said[rows.places]

    def _decoded(self, file: pq.ParquetFile) -> _Rows:
        table = _columns(file, "split", "row_id", "label")
        places = np.flatnonzero(np.asarray(table.column("split").to_numpy(zero_copy_only=False)) == self.split)
        names = np.asarray(table.column("row_id").to_numpy(zero_copy_only=False))[places]
        order = np.argsort(names, kind="stable")
        in_order = tuple(names[order].tolist())
        labels = _side(table, "label")[places]
        truth = labels[order]
        digest = hashlib.sha256("\n".join(in_order).encode())
        digest.update(f"{truth.dtype} {truth.shape}".encode() + truth.tobytes())
        test_set = digest.hexdigest()
        self._row_ids.setdefault(test_set, in_order)
        self._truths.setdefault(test_set, truth)
        return _Rows(test_set=test_set, places=places, labels=labels, order=order)

    def _read(self, cell_id: str, *, with_logits: bool) -> Any:
        with self._opened(cell_id) as opened:
            if opened is None:
                return None
            names = opened[1].schema_arrow.names
            columns = [name for name in names if with_logits or not name.startswith("logit_")]
            table = opened[1].read(columns=columns, use_threads=False)
        return table.filter(pc.equal(table.column("split"), self.split))

    @contextmanager
    def _opened(self, cell_id: str) -> Iterator[tuple[pa.MemoryMappedFile, pq.ParquetFile] | None]:
        """A cell's file; None when its folder keeps none."""
        folder = self.folders.get(cell_id)
        path = None if folder is None else folder / FILE
        if path is None or not path.is_file():
            yield None
            return
        try:
            # A map of the file: found, opened and read without pyarrow's detour over file systems.
            with pa.memory_map(str(path)) as source, pq.ParquetFile(source) as file:
                yield source, file
        except (pa.ArrowException, OSError, KeyError) as error:
            raise EnvironmentProblem(
                f"cannot read {path}: {error}. `finegrid doctor` says which results are damaged."
            ) from error


def _worked_out(rows: _Rows, said: NDArray[Any], metric: str) -> _Kept | None:
    scores = row_scores(metric, rows.labels, said)
    if scores is None:
        return None
    kept = scores[rows.order]
    return _Kept(
        test_set=rows.test_set,
        scores=kept if kept.dtype == np.bool_ else kept.astype(np.float32),
        hidden=hidden_variance(metric, rows.labels, said),
    )


def _digest(source: pa.MemoryMappedFile, file: pq.ParquetFile) -> bytes:
    """Of the columns that say which rows there are and what they are, as they are stored: nothing is decoded."""
    digest = hashlib.sha256()
    metadata, names = file.metadata, file.schema_arrow.names
    if metadata.num_columns != len(names):
        raise pa.ArrowInvalid("columns within columns")
    shared = [(place, name) for place, name in enumerate(names) if not name.startswith(("predicted", "logit_"))]
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for place, name in shared:
            column = row_group.column(place)
            begin = column.dictionary_page_offset or column.data_page_offset
            digest.update(f"{name} {column.num_values} {column.compression} {column.total_compressed_size};".encode())
            digest.update(source.read_at(column.total_compressed_size, begin))
    return digest.digest()


def _columns(file: pq.ParquetFile, *names: str) -> Any:
    """Columns of these names, and those of every label that begin with one of them."""
    begins = tuple(f"{name}_" for name in names if name != "row_id")
    chosen = [name for name in file.schema_arrow.names if name in names or name.startswith(begins)]
    return file.read(columns=chosen, use_threads=False)


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
