"""Predictions read lazily and paired over rows and seeds, whatever order the rows stand in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis.predictions import Predictions, common_rows, predictions_of
from jobs.errors import EnvironmentProblem
from tests.analysis.answer_sheets import results_of, write_predictions


def reader(folder: Path, **sheets: tuple[list[bool], list[str] | None]) -> Predictions:
    for name, (rights, row_ids) in sheets.items():
        write_predictions(folder / name, np.array(rights), row_ids)
    return Predictions({name: folder / name for name in sheets})


def test_only_the_asked_split_counts(tmp_path: Path) -> None:
    read = reader(tmp_path, a=([True, False, True], None))
    found = read.of("a")
    assert found is not None
    assert list(found.row_ids) == ["r0", "r1", "r2"]
    assert list(found.predicted == found.labels) == [True, False, True]
    logits = read.logits("a")
    assert logits is not None
    assert logits.shape == (3, 2)
    np.testing.assert_array_equal(logits.argmax(axis=1), found.predicted)


def test_rows_are_paired_by_id_not_by_place(tmp_path: Path) -> None:
    read = reader(tmp_path, a=([True, False], ["x", "y"]), b=([False, True], ["y", "x"]))
    found = read.answers({0: "a", 1: "b"})
    assert found is not None
    assert found.row_ids == ("x", "y")
    assert found.scores.tolist() == [[True, False], [True, False]]


def test_seeds_with_other_rows_meet_on_what_they_share(tmp_path: Path) -> None:
    read = reader(tmp_path, a=([True, False, True], ["x", "y", "z"]), b=([False, True], ["z", "x"]))
    found = read.answers({5: "b", 3: "a"})
    assert found is not None
    assert (found.seeds, found.row_ids) == ((3, 5), ("x", "z"))
    assert found.scores.tolist() == [[True, True], [True, False]]


def test_nothing_in_common_and_nothing_kept_is_none(tmp_path: Path) -> None:
    read = reader(tmp_path, a=([True], ["x"]), b=([True], ["y"]), empty=([], []))
    assert read.answers({0: "a", 1: "b"}) is None
    assert read.answers({0: "gone"}) is None
    assert read.answers({0: "empty"}) is None
    assert read.of("gone") is None
    assert read.logits("gone") is None


def test_nothing_is_read_before_it_is_asked_for_and_nothing_twice(tmp_path: Path) -> None:
    results = results_of(tmp_path, [({"cell_id": "a"}, np.array([True])), ({"cell_id": "b"}, np.array([True]))])
    read = predictions_of(results)
    read.answers({0: "a"})
    (tmp_path / "a" / "predictions.parquet").unlink()
    (tmp_path / "b" / "predictions.parquet").write_bytes(b"broken")
    assert read.answers({0: "a"}) is not None
    with pytest.raises(EnvironmentProblem, match="doctor"):
        read.answers({0: "b"})


def test_common_rows_keep_the_first_order() -> None:
    assert common_rows([["c", "a", "b"], ["b", "c"]]) == ("c", "b")
