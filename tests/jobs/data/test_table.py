"""The table of prepared rows against `prepare` itself, for one and for several labels a row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from jobs.data import prepare
from jobs.data.table import write_rows
from jobs.errors import DataError, EnvironmentProblem
from jobs.spec import DataSpec


def small(**changes: object) -> DataSpec:
    settings = {"rows": 3000, "num_labels": 2, "num_samples": 20, "test_per_label": 5, "validation_per_label": 5}
    return DataSpec(source="builtin", **(settings | changes))  # type: ignore[arg-type]


def test_single_label_rows_are_those_of_the_cells(tmp_path: Path) -> None:
    sets = [(small(), 0), (small(num_labels=4), 1)]
    told: list[object] = []
    written = write_rows(sets, tmp_path / "x.parquet", on_set=told.append)
    table = pq.read_table(tmp_path / "x.parquet").to_pylist()
    assert sum(sum(one.rows.values()) for one in written) == len(table) and told == sets
    assert written[1].rows == {"train": 20, "validation": 20, "test": 20} and written[1].labels_per_row["test"] == 1.0
    for number, (spec, seed) in enumerate(sets):
        data = prepare(spec, seed=seed)
        train = [row for row in table if row["set"] == number and row["split"] == "train"]
        assert [row["text"] for row in train] == list(data.train.texts)
        assert [data.label_names.index(row["label"]) for row in train] == data.train.labels.tolist()
        assert {row["num_labels"] for row in train} == {spec.num_labels}


def test_multi_label_rows_are_one_hot(tmp_path: Path) -> None:
    sets = [
        (small(task="multi_label", protocol="official", num_labels=k, num_samples=None, overlap="drop"), 0)
        for k in (2, 3)
    ]
    written = write_rows(sets, tmp_path / "x.parquet")
    table = pq.read_table(tmp_path / "x.parquet")
    data = prepare(sets[1][0], seed=0)
    assert written[1].labels_per_row["test"] == pytest.approx(data.test.labels.sum() / len(data.test))
    assert written[1].counts == data.counts and written[1].marks == data.marks
    rows = [row for row in table.to_pylist() if row["set"] == 1 and row["split"] == "test"]
    one_hot = np.array([[row[f"label: {name}"] for name in data.label_names] for row in rows])
    assert np.array_equal(one_hot, data.test.labels)
    assert rows[0]["labels"] == [data.label_names[i] for i in np.flatnonzero(data.test.labels[0])]
    third = f"label: {data.label_names[2]}"
    assert all(row[third] is None for row in table.to_pylist() if row["set"] == 0)


def test_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        write_rows([(small(), 0), (small(num_labels=900), 0)], tmp_path / "x.parquet")
    with pytest.raises(EnvironmentProblem, match=r"x\.parquet"):
        write_rows([(small(), 0)], tmp_path / "no" / "x.parquet")
    assert list(tmp_path.iterdir()) == []
