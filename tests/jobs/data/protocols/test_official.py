"""Protocol official: the data set's own splits, stratified parts of train, and no text in two splits."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from jobs.data import builtin, check, prepare
from jobs.data.protocols.official import Official
from jobs.data.rows import TEST, TRAIN, VALIDATION, Corpus
from jobs.spec import DataSpec
from tests.jobs.data.conftest import MakeCorpus

SPEC = DataSpec(source="builtin", protocol="official", rows=6000)
MULTI = dataclasses.replace(SPEC, task="multi_label")


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return builtin.corpus(SPEC.rows)


def _with(spec: DataSpec = SPEC, **changes: object) -> DataSpec:
    return dataclasses.replace(spec, **changes)  # type: ignore[arg-type]


def test_single_label_takes_rows_with_exactly_one_kept_label(corpus: Corpus) -> None:
    selection = Official().select(corpus, _with(num_labels=3), 0)
    assert corpus.splits is not None
    for name, split in (("train", TRAIN), ("validation", VALIDATION), ("test", TEST)):
        expected = np.flatnonzero(np.isin(corpus.single_label, selection.labels) & (corpus.splits == split))
        assert np.array_equal(getattr(selection, name), expected)


def test_multi_label_takes_rows_with_at_least_one_kept_label(corpus: Corpus) -> None:
    selection = Official().select(corpus, _with(MULTI, num_labels=3), 0)
    carriers = np.zeros(len(corpus), dtype=bool)
    for label in selection.labels:
        carriers |= corpus.has_label(label)
    assert corpus.splits is not None
    assert np.array_equal(selection.test, np.flatnonzero(carriers & (corpus.splits == TEST)))
    assert selection.labels == tuple(np.argsort(-corpus.any_label_counts, kind="stable")[:3])


def test_everything_by_default(corpus: Corpus) -> None:
    selection = Official().select(corpus, MULTI, 0)
    assert len(selection.labels) == 28
    assert [len(rows) for rows in (selection.train, selection.validation, selection.test)] == [4800, 600, 600]


@pytest.mark.parametrize("spec", [SPEC, MULTI])
def test_parts_of_train_nest_are_stratified_and_follow_the_seed(corpus: Corpus, spec: DataSpec) -> None:
    everything = Official().select(corpus, spec, 0).train
    large = Official().select(corpus, _with(spec, num_samples=1500), 0).train
    small = Official().select(corpus, _with(spec, num_samples=600), 0).train
    other = Official().select(corpus, _with(spec, num_samples=600), 1).train
    assert np.array_equal(large[:600], small)
    assert len(set(large)) == 1500
    assert 0 < len(set(small) & set(other)) < 600
    for label in range(28):
        share = corpus.has_label(label)[everything].mean()
        assert abs(corpus.has_label(label)[small].sum() - share * 600) <= 4


def test_missing_validation_split_is_drawn_from_train_once_and_marked(make_corpus: MakeCorpus) -> None:
    corpus = make_corpus([[0], [1]] * 100, splits=[TRAIN] * 160 + [TEST] * 40)
    first, second = (Official().select(corpus, _with(num_samples=20), seed) for seed in (0, 1))
    assert len(first.validation) == 16
    assert set(np.bincount(corpus.single_label[first.validation])) == {8}
    assert np.array_equal(first.validation, second.validation)
    assert not set(first.validation) & set(Official().select(corpus, SPEC, 0).train)
    assert first.marks == ("validation rows drawn from train: the data set has none",)


def _with_overlap(make_corpus: MakeCorpus) -> Corpus:
    texts = [f"text {row}" for row in range(12)]
    texts[1], texts[5] = "TEXT  8", "text 10"  # train rows that stand in validation and in test
    texts[9] = "text 11"  # a validation row that stands in test
    texts[3] = "text 2"  # a duplicate within train
    return make_corpus([[0], [1]] * 6, texts=texts, splits=[TRAIN] * 8 + [VALIDATION] * 2 + [TEST] * 2)


def test_overlap_is_refused_with_numbers(make_corpus: MakeCorpus) -> None:
    (problem,) = Official().problems(_with_overlap(make_corpus), SPEC)
    assert problem.path == "dataset.overlap"
    assert "3 texts stand in more than one split of a test corpus (2 of them in test)" in problem.rule
    assert "overlap: drop" in str(problem.suggestion)


def test_overlap_is_dropped_from_the_split_that_is_not_tested_on(make_corpus: MakeCorpus) -> None:
    corpus = _with_overlap(make_corpus)
    spec = _with(overlap="drop")
    assert Official().problems(corpus, spec) == []
    selection = Official().select(corpus, spec, 0)
    assert selection.train.tolist() == [0, 2, 3, 4, 6, 7]
    assert selection.validation.tolist() == [8]
    assert selection.test.tolist() == [10, 11]
    assert selection.counts == {"overlap_dropped": 3, "duplicates_kept": 1}
    assert selection.marks == ("rows dropped because their texts stand in another split: 3",)


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"num_labels": 40}, "axes.num_labels", "2 to 28"),
        ({"num_samples": 100_000}, "axes.num_samples", "28 to "),
        ({"num_samples": 5}, "axes.num_samples", "28 to "),
        ({"num_samples": 10, "num_samples_per": "label"}, "dataset.num_samples_per", "does not balance"),
        ({"labels": ("joy", "lov")}, "dataset.labels", "did you mean 'love'?"),
    ],
)
def test_problems(corpus: Corpus, changes: dict[str, object], path: str, words: str) -> None:
    (problem,) = Official().problems(corpus, _with(**changes))
    assert problem.path == path
    assert words in str(problem)


def test_data_without_own_splits_is_refused(make_corpus: MakeCorpus) -> None:
    for splits in (None, [TRAIN, TRAIN, VALIDATION, VALIDATION]):
        corpus = make_corpus([[0], [1]] * 2, splits=splits)
        (problem,) = Official().problems(corpus, SPEC)
        assert "needs train and test splits" in problem.rule


def test_a_split_without_rows_of_the_labels_is_refused(make_corpus: MakeCorpus) -> None:
    corpus = make_corpus([[0], [1], [0], [1], [2]], splits=[TRAIN, TRAIN, VALIDATION, VALIDATION, TEST])
    (problem,) = Official().problems(corpus, _with(num_labels=2))
    assert "the test split of a test corpus has no rows with these labels" in problem.rule


@pytest.mark.parametrize("spec", [SPEC, MULTI])
def test_facts_say_exactly_what_is_possible(corpus: Corpus, spec: DataSpec) -> None:
    limit = Official().facts(corpus, spec).max_samples(5)
    assert Official().problems(corpus, _with(spec, num_labels=5, num_samples=limit)) == []
    assert len(Official().problems(corpus, _with(spec, num_labels=5, num_samples=limit + 1))) == 1
    assert Official().facts(corpus, spec).max_labels == 28


@pytest.mark.real_data
def test_the_real_splits(goemotions: Path) -> None:
    spec = DataSpec(source="files", path=str(goemotions), protocol="official", task="multi_label")
    (problem,) = check(spec)
    assert problem.path == "dataset.overlap"
    data = prepare(_with(spec, overlap="drop"), seed=0)
    assert len(data.test) == 5427
    assert data.train.labels.shape == (len(data.train), 28)
    assert len(data.train) + len(data.validation) + data.counts["overlap_dropped"] == 43_410 + 5_426


def test_a_test_row_hidden_in_train_by_a_sign_that_shows_nothing_is_found(make_corpus: MakeCorpus) -> None:
    made = make_corpus([[0], [1]] * 6)
    texts = [f"text {row}" for row in range(12)]
    texts[0] = texts[10] + "\u200b"
    splits = np.array([TRAIN] * 6 + [VALIDATION] * 2 + [TEST] * 4, dtype=np.int8)
    corpus = dataclasses.replace(made, texts=tuple(texts), splits=splits)
    (problem,) = Official().problems(corpus, _with())
    assert "1 texts stand in more than one split" in problem.rule
    assert 0 not in Official().select(corpus, _with(overlap="drop"), 0).train


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("single_label", {"rows_with_several_labels": 4, "rows_without_kept_label": 4}),
        ("multi_label", {"rows_without_kept_label": 4}),
    ],
)
def test_every_row_that_is_left_out_is_counted(make_corpus: MakeCorpus, task: str, expected: dict[str, int]) -> None:
    labels = [[0], [0], [1], [2], [0, 1]] * 4
    splits = [split for split in (TRAIN, TRAIN, VALIDATION, TEST) for _ in range(5)]
    corpus = make_corpus(labels, splits=splits)
    selection = Official().select(corpus, _with(task=task, num_labels=2), 0)
    rows = sum(len(each) for each in (selection.train, selection.validation, selection.test))
    assert {name: n for name, n in selection.counts.items() if name.startswith("rows_")} == expected
    assert rows + sum(expected.values()) == len(corpus)
