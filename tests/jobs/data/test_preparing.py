"""Prepared data: golden draws, hashes, label encoding, and errors that list every fault."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest

from jobs.data import check, facts, prepare
from jobs.data.rows import Split, split_hash
from jobs.errors import DataError
from jobs.spec import DataSpec

SPEC = DataSpec(source="builtin", rows=6000, num_labels=4, num_samples=100, test_per_label=10, validation_per_label=5)

GOLDEN = {
    "nested": "3917218975e3720c",
    "fixed": "5a20eb665e6603a3",
    "official": "8e035d09c0490e41",
    "multi": "d27c9de61230993a",
}


def _with(**changes: object) -> DataSpec:
    return dataclasses.replace(SPEC, **changes)  # type: ignore[arg-type]


def test_golden_draws() -> None:
    """A failure here means that finished cells no longer say which rows they were trained on: raise RECIPE_VERSION."""
    found = {
        "nested": prepare(SPEC, seed=1).hashes["train"][:16],
        "fixed": prepare(SPEC, seed=1).hashes["test"][:16],
        "official": prepare(_with(protocol="official"), seed=1).hashes["train"][:16],
        "multi": prepare(_with(protocol="official", task="multi_label"), seed=1).hashes["train"][:16],
    }
    assert found == GOLDEN


def test_single_labels_are_positions_in_the_label_names() -> None:
    data = prepare(SPEC, seed=0)
    assert data.train.labels.dtype == np.int64
    assert np.bincount(data.train.labels).tolist() == [25] * 4
    assert not data.train.labels.flags.writeable
    assert len(data.train) == len(data.train.texts) == len(data.train.row_ids) == 100
    assert (len(data.validation), len(data.test)) == (20, 40)


def test_multi_labels_are_a_matrix_of_the_kept_labels() -> None:
    data = prepare(_with(protocol="official", task="multi_label"), seed=0)
    assert data.train.labels.dtype == np.uint8
    assert data.train.labels.shape == (100, 4)
    assert set(np.unique(data.train.labels)) == {0, 1}
    assert data.train.labels.any(axis=1).all()


def test_hashes_follow_ids_texts_labels_and_order() -> None:
    def split(*, ids: str = "ab", texts: tuple[str, str] = ("x", "y"), labels: tuple[int, int] = (0, 1)) -> Split:
        return Split(texts=texts, labels=np.array(labels), row_ids=tuple(ids))

    names = ("joy", "anger")
    variants = [
        split_hash(split(), names),
        split_hash(split(ids="ac"), names),
        split_hash(split(ids="ba", texts=("y", "x"), labels=(1, 0)), names),
        split_hash(split(texts=("x", "z")), names),
        split_hash(split(texts=("", "xy")), names),
        split_hash(split(labels=(1, 0)), names),
        split_hash(split(), ("joy", "grief")),
    ]
    assert len(set(variants)) == len(variants)
    # Label names count, not their positions: the same rows under another numbering are the same data.
    assert split_hash(split(labels=(1, 0)), ("anger", "joy")) == variants[0]
    matrix = Split(texts=("x", "y"), labels=np.eye(2, dtype=np.uint8), row_ids=("a", "b"))
    assert split_hash(matrix, names) == variants[0]


def test_test_rows_are_one_object_for_cells_that_share_them() -> None:
    first, second = (prepare(_with(num_samples=size), seed=size).test for size in (40, 100))
    assert first is second


def test_counts_and_marks_come_from_reading_and_choosing(tmp_path: Path) -> None:
    lines = [f"text {row},{'joy' if row % 2 else 'anger'}" for row in range(40)]
    (tmp_path / "rows.csv").write_text("\n".join(["text,label", *lines, " ,joy", "text 0,joy", "broken", ""]))
    spec = DataSpec(
        source="files",
        path=str(tmp_path),
        bad_rows="drop",
        max_bad_fraction=0.1,
        test_per_label=3,
        validation_per_label=2,
    )
    data = prepare(spec, seed=0)
    assert data.counts == {
        "rows_read": 43,
        "bad_rows_dropped": 1,
        "texts_blank_dropped": 1,
        "rows_with_several_labels": 0,
        "duplicates_dropped": 1,
    }
    assert data.marks == ("malformed rows dropped: 1", "blank texts dropped: 1")
    assert len(data.train) + len(data.validation) + len(data.test) == 40


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"source": "web"}, "dataset.source"),
        ({"task": "regression"}, "dataset.task"),
        ({"protocol": "nestd"}, "dataset.protocol"),
        ({"num_samples_per": "row"}, "dataset.num_samples_per"),
        ({"bad_rows": "skip"}, "dataset.bad_rows"),
        ({"overlap": "keep"}, "dataset.overlap"),
        ({"test_per_label": 0}, "dataset.test_per_label"),
        ({"validation_per_label": -1}, "dataset.validation_per_label"),
        ({"source": "files", "path": "/no/such/place"}, "dataset"),
        ({"num_labels": 99}, "axes.num_labels"),
    ],
)
def test_check_lists_and_prepare_raises(changes: dict[str, object], path: str) -> None:
    (problem,) = check(_with(**changes))
    assert problem.path == path
    with pytest.raises(DataError) as caught:
        prepare(_with(**changes), seed=0)
    assert str(caught.value) == str(problem)


def test_check_finds_several_faults_at_once() -> None:
    assert len(check(_with(source="web", task="regression"))) == 2


def test_check_gives_one_problem_for_each_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text,label\nfine,joy\nbroken\nfine,anger\na,b,c\n")
    problems = check(_with(source="files", path=str(path)))
    assert [str(problem).partition(": ")[2].split(": ")[0] for problem in problems[:2]] == [f"{path}:3", f"{path}:5"]
    assert "bad rows: 2; correct them, or set dataset.bad_rows: drop" in problems[2].rule


def test_facts_of_every_protocol() -> None:
    assert facts(SPEC).max_samples(4) > 100
    assert facts(_with(protocol="official")).num_rows == 6000
    assert facts(_with(protocol="replay")).max_samples(16) == 2400
    with pytest.raises(DataError, match=r"dataset\.protocol"):
        facts(_with(protocol="other"))


def test_the_demo_grid_is_prepared_quickly() -> None:
    spec = DataSpec(source="builtin")
    check(spec)
    start = time.process_time()
    for num_labels in (2, 4, 8, 16):
        for size in (800, 1600, 2400):
            for seed in (0, 1):
                prepare(dataclasses.replace(spec, num_labels=num_labels, num_samples=size), seed=seed)
    # Some 0.02 s each on a free machine; the bound is for busy ones.
    assert (time.process_time() - start) / 24 < 0.2
