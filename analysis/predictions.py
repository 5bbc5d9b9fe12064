"""Predictions of single test rows, read when asked for, and laid out as seeds x rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from analysis.loading import Results
from jobs.errors import EnvironmentProblem

FILE: Final = "predictions.parquet"
_COLUMNS: Final = ("split", "row_id", "label", "predicted")


@dataclass(frozen=True, kw_only=True)
class CellPredictions:
    """What one cell said about the rows of one split, in the order of its file."""

    row_ids: NDArray[np.object_]
    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]

    @property
    def rights(self) -> NDArray[np.bool_]:
        """Whether each row was answered right."""
        return np.asarray(self.predicted == self.labels)


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Rights and wrongs of some seeds on the test rows that all of them share."""

    seeds: tuple[int, ...]
    row_ids: tuple[str, ...]
    rights: NDArray[np.bool_]
    """[seeds, rows]"""

    def on(self, seeds: Sequence[int], row_ids: Sequence[str]) -> NDArray[np.bool_]:
        """Rights of chosen seeds and rows, in that order."""
        if tuple(row_ids) == self.row_ids:
            return self.rights[[self.seeds.index(seed) for seed in seeds]]
        place = {row: index for index, row in enumerate(self.row_ids)}
        return self.rights[np.ix_([self.seeds.index(seed) for seed in seeds], [place[row] for row in row_ids])]


@dataclass
class Predictions:
    """Reads result folders one file at a time; keeps one bit-sized number a row, and row ids once for each test set."""

    folders: Mapping[str, Path]
    split: str = "test"
    _row_ids: dict[str, tuple[str, ...]] = field(default_factory=dict, init=False)
    _rights: dict[str, tuple[str, NDArray[np.bool_]] | None] = field(default_factory=dict, init=False)

    def of(self, cell_id: str) -> CellPredictions | None:
        """All predictions of a cell; None when its folder keeps none.

        Raises:
            EnvironmentProblem: the file is there but cannot be read.
        """
        table = self._read(cell_id, _COLUMNS)
        if table is None:
            return None
        return CellPredictions(
            row_ids=np.asarray(table.column("row_id").to_numpy(zero_copy_only=False)),
            labels=np.asarray(table.column("label").to_numpy()),
            predicted=np.asarray(table.column("predicted").to_numpy()),
        )

    def logits(self, cell_id: str) -> NDArray[np.float32] | None:
        """Logits [rows, classes] of a cell, in the order of `of`; None when its folder keeps none."""
        table = self._read(cell_id, None)
        if table is None:
            return None
        names = [name for name in table.column_names if name.startswith("logit_")]
        return np.column_stack([table.column(f"logit_{i}").to_numpy() for i in range(len(names))])

    def answers(self, cells: Mapping[int, str]) -> Answers | None:
        """Rights and wrongs of some cells that differ in their seed only, on the rows that all of them were tested on.

        Args:
            cells: seed -> cell.
        Returns:
            the answers of the cells that keep predictions; None when none does or they share no row.
        """
        found = {seed: kept for seed, cell_id in sorted(cells.items()) if (kept := self._kept(cell_id)) is not None}
        if not found:
            return None
        keys = {key for key, _ in found.values()}
        if len(keys) == 1:
            row_ids = self._row_ids[keys.pop()]
            rights = np.stack([rights for _, rights in found.values()])
        else:
            row_ids = common_rows([self._row_ids[key] for key, _ in found.values()])
            chosen = [
                Answers(seeds=(seed,), row_ids=self._row_ids[key], rights=rights[None]).on((seed,), row_ids)[0]
                for seed, (key, rights) in found.items()
            ]
            rights = np.stack(chosen)
        return Answers(seeds=tuple(found), row_ids=row_ids, rights=rights) if row_ids else None

    def _kept(self, cell_id: str) -> tuple[str, NDArray[np.bool_]] | None:
        """Which test set a cell has, and its rights in the sorted order of the row ids."""
        if cell_id not in self._rights:
            found = self.of(cell_id)
            if found is None or len(found.row_ids) == 0:
                self._rights[cell_id] = None
            else:
                order = np.argsort(found.row_ids, kind="stable")
                row_ids = tuple(found.row_ids[order].tolist())
                key = hashlib.sha256("\n".join(row_ids).encode()).hexdigest()
                self._row_ids.setdefault(key, row_ids)
                self._rights[cell_id] = key, found.rights[order]
        return self._rights[cell_id]

    def _read(self, cell_id: str, columns: Sequence[str] | None) -> Any:
        folder = self.folders.get(cell_id)
        path = None if folder is None else folder / FILE
        if path is None or not path.is_file():
            return None
        try:
            with pq.ParquetFile(path) as file:
                table = file.read(columns=None if columns is None else list(columns), use_threads=False)
        except (pa.ArrowException, OSError, KeyError) as error:
            raise EnvironmentProblem(
                f"cannot read {path}: {error}. `finegrid doctor` says which results are damaged."
            ) from error
        splits = np.asarray(table.column("split").to_numpy(zero_copy_only=False))
        return table.filter(pa.array(splits == self.split))


def predictions_of(results: Results, split: str = "test") -> Predictions:
    """The predictions of a loaded store; nothing is read before it is asked for."""
    return Predictions(results.folders, split)


def common_rows(row_ids: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Row ids that all lists have, in the order of the first."""
    shared = set(row_ids[0]).intersection(*row_ids[1:])
    return tuple(row for row in row_ids[0] if row in shared)
