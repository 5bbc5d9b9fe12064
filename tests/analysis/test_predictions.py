"""Predictions read lazily and paired over rows and seeds, whatever order the rows stand in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from analysis.pairing import pair_up
from analysis.predictions import Predictions, common_rows, predictions_of
from jobs.errors import EnvironmentProblem
from jobs.result_files import predictions_writer
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


def written(folder: Path, seed: int, truth: np.ndarray, rows: int = 60) -> np.ndarray:
    """Predictions of rows with several labels; returns what was said."""
    random = np.random.default_rng(seed)
    said = np.where(random.random(truth.shape) < 0.8, truth, 1 - truth)
    ids = [f"r{index}" for index in range(rows)]
    parts = {"test": (ids, truth[:rows], np.where(said, 1.0, -1.0).astype(np.float32)[:rows])}
    folder.mkdir(parents=True)
    predictions_writer(parts)(folder / "predictions.parquet")
    return np.asarray(said[:rows])


def test_rows_with_several_labels_are_paired(tmp_path: Path) -> None:
    truth = (np.random.default_rng(0).random((60, 5)) < 0.3).astype(np.uint8)
    said = [written(tmp_path / name, seed, truth) for seed, name in enumerate("ab")]
    read = Predictions({name: tmp_path / name for name in "ab"})
    cells = {0: "a", 1: "b"}
    subset, macro = read.answers(cells, "subset_accuracy"), read.answers(cells, "f1_macro")
    assert subset is not None and macro is not None
    assert subset.scores.dtype == np.bool_ and subset.is_row_mean and not macro.is_row_mean
    expected = [f1_score(truth, each, average="macro") for each in said]
    np.testing.assert_allclose(macro.scores.mean(axis=1), expected, atol=1e-6)
    assert subset.scores.mean(axis=1).tolist() == [(truth == each).all(axis=1).mean() for each in said]
    assert read.answers(cells, "accuracy") is None


def test_scores_that_are_no_mean_over_rows_need_the_very_same_ones(tmp_path: Path) -> None:
    truth = (np.random.default_rng(0).random((60, 5)) < 0.3).astype(np.uint8)
    written(tmp_path / "a", 0, truth)
    written(tmp_path / "b", 1, truth, rows=50)
    read = Predictions({name: tmp_path / name for name in "ab"})
    assert read.answers({0: "a", 1: "b"}, "f1_macro") is None
    shared = read.answers({0: "a", 1: "b"}, "hamming_loss")
    assert shared is not None and len(shared.row_ids) == 50
    one, other = (read.answers({0: name}, "f1_macro") for name in "ab")
    assert one is not None and other is not None
    assert pair_up(one, other) is None


def test_rows_that_many_files_share_are_decoded_once_and_others_are_told_apart(tmp_path: Path) -> None:
    """Whatever is stored once for several files, the answers are those of every file by itself."""
    random = np.random.default_rng(5)
    ids = [f"row-{number}" for number in random.permutation(40)]
    sheets: dict[str, tuple[list[bool], list[str] | None]] = {}
    for number in range(6):
        other = [*ids[:-1], "row-other"] if number == 3 else ids[::-1] if number == 4 else ids
        sheets[f"c{number}"] = (list(random.random(40) < 0.5), other)
    together = reader(tmp_path, **sheets)
    (tmp_path / "c5" / "predictions.parquet").unlink()
    logits = random.normal(size=(40, 2)).astype(np.float32)
    predictions_writer({"test": (ids, np.arange(40) % 2, logits)})(tmp_path / "c5" / "predictions.parquet")
    together.read_ahead(sheets, "accuracy")
    assert len(together._rows) == 4, "the usual rows, one replaced, another order, other labels"
    for name in sheets:
        alone, shared = Predictions({name: tmp_path / name}).answers({0: name}), together.answers({0: name})
        found = together.of(name)
        assert alone is not None and shared is not None and found is not None
        assert alone.row_ids == shared.row_ids and alone.scores.tolist() == shared.scores.tolist()
        rights = dict(zip(found.row_ids, found.predicted == found.labels, strict=True))
        assert shared.scores[0].tolist() == [rights[row] for row in shared.row_ids]
