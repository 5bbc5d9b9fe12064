"""Protocol nested: what must never change between cells, and what must lie within what."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from jobs.data import builtin
from jobs.data.protocols.nested import Nested
from jobs.data.rows import Corpus
from jobs.spec import DataSpec
from tests.jobs.data.conftest import MakeCorpus

SPEC = DataSpec(source="builtin", num_labels=4, num_samples=80, test_per_label=20, validation_per_label=5, rows=6000)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return builtin.corpus(SPEC.rows)


def _with(**changes: object) -> DataSpec:
    return dataclasses.replace(SPEC, **changes)  # type: ignore[arg-type]


def test_label_sets_nest_by_count_with_ties_by_id(make_corpus: MakeCorpus) -> None:
    corpus = make_corpus([[2]] * 5 + [[0]] * 4 + [[3]] * 5 + [[1]] * 7 + [[0, 1]] * 9)
    spec = _with(num_labels=None, num_samples=None, test_per_label=1, validation_per_label=1)
    assert Nested().select(corpus, spec, 0).labels == (1, 2, 3, 0)
    assert Nested().select(corpus, dataclasses.replace(spec, num_labels=2), 0).labels == (1, 2)


def test_declared_labels_nest_in_their_order(corpus: Corpus) -> None:
    names = ("joy", "anger", "love", "neutral")
    selection = Nested().select(corpus, _with(labels=names, num_labels=3), 0)
    assert [corpus.label_names[label] for label in selection.labels] == ["joy", "anger", "love"]


def test_counts_are_exact_and_balanced(corpus: Corpus) -> None:
    selection = Nested().select(corpus, SPEC, 0)
    for rows, each in ((selection.train, 20), (selection.validation, 5), (selection.test, 20)):
        labels, counts = np.unique(corpus.single_label[rows], return_counts=True)
        assert set(labels) == set(selection.labels)
        assert set(counts) == {each}


def test_smaller_training_sets_are_prefixes_of_larger_ones(corpus: Corpus) -> None:
    large = Nested().select(corpus, _with(num_samples=160), 3).train
    for size in (40, 80, 81, 83, 120):
        assert np.array_equal(Nested().select(corpus, _with(num_samples=size), 3).train, large[:size])
    everything = Nested().select(corpus, _with(num_samples=None), 3).train
    assert np.array_equal(everything[:160], large)


def test_test_and_validation_rows_are_shared_by_sizes_and_seeds(corpus: Corpus) -> None:
    first = Nested().select(corpus, SPEC, 0)
    for spec, seed in ((_with(num_samples=160), 0), (SPEC, 1), (_with(num_samples=None), 9)):
        other = Nested().select(corpus, spec, seed)
        assert np.array_equal(other.test, first.test)
        assert np.array_equal(other.validation, first.validation)


def test_fixed_rows_of_a_label_are_the_same_at_every_label_count(corpus: Corpus) -> None:
    small = Nested().select(corpus, _with(num_labels=2), 0)
    large = Nested().select(corpus, _with(num_labels=8), 0)
    assert large.labels[:2] == small.labels
    for name in ("test", "validation"):
        few, many = getattr(small, name), getattr(large, name)
        assert set(few) == {row for row in many if corpus.single_label[row] in small.labels}


def test_training_rows_of_a_label_nest_over_label_counts(corpus: Corpus) -> None:
    # 40 rows of each of 2 labels, 20 of each of 4: the 20 lie within the 40.
    two, four = (Nested().select(corpus, _with(num_labels=k), 0).train for k in (2, 4))
    for label in (corpus.single_label[row] for row in two[:2]):
        assert {row for row in four if corpus.single_label[row] == label} < set(two)


def test_the_seed_changes_training_rows(corpus: Corpus) -> None:
    zero, one = (Nested().select(corpus, SPEC, seed).train for seed in (0, 1))
    assert 0 < len(set(zero) & set(one)) < 40


def test_splits_never_share_a_row_or_text(corpus: Corpus) -> None:
    selection = Nested().select(corpus, _with(num_samples=None, num_labels=None), 0)
    rows = np.concatenate([selection.train, selection.validation, selection.test])
    assert len(set(rows)) == len(rows)
    assert len({corpus.texts[row] for row in rows}) == len(rows)
    # Everything that is not a duplicate or multi-labelled is used.
    assert len(rows) == int((corpus.single_label >= 0).sum())


def test_an_uneven_total_gives_the_first_labels_one_more(corpus: Corpus) -> None:
    selection = Nested().select(corpus, _with(num_labels=3, num_samples=80), 0)
    counts = [int((corpus.single_label[selection.train] == label).sum()) for label in selection.labels]
    assert counts == [27, 27, 26]


def test_rows_per_label(corpus: Corpus) -> None:
    per_label = Nested().select(corpus, _with(num_samples=20, num_samples_per="label"), 0)
    assert np.array_equal(per_label.train, Nested().select(corpus, SPEC, 0).train)


def test_duplicates_by_case_spacing_and_width_are_removed(make_corpus: MakeCorpus) -> None:
    texts = ["Hello  there", "hello there", "HELLO THERE ", "ｈｅｌｌｏ there", "other", "more", "even more", "last"]
    corpus = make_corpus([[0], [1], [0], [1], [1], [0], [1], [0]], texts=texts)
    spec = _with(num_labels=2, num_samples=None, test_per_label=1, validation_per_label=1)
    selection = Nested().select(corpus, spec, 0)
    rows = [*selection.train, *selection.validation, *selection.test]
    assert sorted(rows) == [0, 4, 5, 6, 7]
    assert selection.counts["duplicates_dropped"] == 3


def test_the_draw_does_not_depend_on_row_order(corpus: Corpus) -> None:
    order = np.random.default_rng(0).permutation(len(corpus))
    sizes = corpus.num_labels_of_row[order]
    moved = Corpus(
        name="moved",
        texts=tuple(corpus.texts[row] for row in order),
        row_ids=tuple(corpus.row_ids[row] for row in order),
        label_names=corpus.label_names,
        label_offsets=np.concatenate([[0], np.cumsum(sizes)]),
        label_ids=np.concatenate(
            [corpus.label_ids[corpus.label_offsets[row] : corpus.label_offsets[row + 1]] for row in order]
        ),
    )
    ours, theirs = Nested().select(corpus, SPEC, 2), Nested().select(moved, SPEC, 2)
    for name in ("train", "validation", "test"):
        texts = [corpus.texts[row] for row in getattr(ours, name)]
        assert texts == [moved.texts[row] for row in getattr(theirs, name)]


def test_facts_say_exactly_what_is_possible(corpus: Corpus) -> None:
    facts = Nested().facts(corpus, SPEC)
    for num_labels in (2, 3, 7):
        limit = facts.max_samples(num_labels)
        assert Nested().problems(corpus, _with(num_labels=num_labels, num_samples=limit)) == []
        assert len(Nested().select(corpus, _with(num_labels=num_labels, num_samples=limit), 0).train) == limit
        (problem,) = Nested().problems(corpus, _with(num_labels=num_labels, num_samples=limit + 1))
        assert problem.path == "axes.num_samples"
        assert f"{num_labels} to {limit} training rows in total" in problem.rule
    assert facts.num_rows == len(corpus)
    assert facts.max_samples(0) == facts.max_samples(1000) == 0


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"num_labels": 29}, "axes.num_labels", "2 to 28"),
        ({"num_labels": 1}, "axes.num_labels", "2 to 28"),
        ({"num_samples": 3}, "axes.num_samples", "4 to "),
        ({"num_samples": 0, "num_samples_per": "label"}, "axes.num_samples", "1 to "),
        ({"labels": ("joy", "joi")}, "dataset.labels", "did you mean 'joy'?"),
        ({"labels": ("joy", "joy")}, "dataset.labels", "stands twice"),
        ({"labels": ("joy", "love"), "num_labels": 3}, "axes.num_labels", "dataset.labels has 2 labels"),
        ({"task": "multi_label"}, "dataset.protocol", "use protocol official"),
        ({"num_labels": None, "test_per_label": 200}, "axes.num_labels", "at most "),
    ],
)
def test_problems(corpus: Corpus, changes: dict[str, object], path: str, words: str) -> None:
    (problem,) = Nested().problems(corpus, _with(**changes))
    assert problem.path == path
    assert words in str(problem)


def test_too_many_labels_name_the_first_poor_one(make_corpus: MakeCorpus) -> None:
    corpus = make_corpus([[0]] * 10 + [[1]] * 9 + [[2]] * 3)
    spec = _with(num_labels=3, num_samples=6, test_per_label=2, validation_per_label=1)
    (problem,) = Nested().problems(corpus, spec)
    assert "at most 2: label 'label-2' has too few rows for 3 test and validation rows" in problem.rule
    assert Nested().facts(corpus, spec).max_labels == 2


UNSEEN = ("\u200b", "\ufeff", "\xad", "\u200f", "\u2060")


def test_a_text_with_characters_that_show_nothing_is_a_duplicate(make_corpus: MakeCorpus) -> None:
    plain = make_corpus([[label] for label in (0, 1) for _ in range(40)])
    texts = [f"text {row % 40 // 2 + 20 * (row // 40)}" + UNSEEN[row % 5] * (row % 2) for row in range(80)]
    corpus = dataclasses.replace(plain, texts=tuple(texts))
    selection = Nested().select(
        corpus, _with(num_labels=2, num_samples=None, test_per_label=5, validation_per_label=2), 0
    )
    seen = [
        {re.sub("|".join(UNSEEN), "", texts[row]) for row in rows}
        for rows in (selection.train, selection.validation, selection.test)
    ]
    assert [len(each) for each in seen] == [26, 4, 10]
    assert len(set.union(*seen)) == 40
    assert selection.counts["duplicates_dropped"] == 40


def test_what_shows_nothing_does_not_change_the_order_of_rows(make_corpus: MakeCorpus) -> None:
    """Draws of earlier stores stay: only rows that repeat another one go."""
    corpus = dataclasses.replace(make_corpus([[0]]), texts=("a\u200db",))
    assert corpus.text_keys != dataclasses.replace(corpus, texts=("ab",)).text_keys
    assert corpus.twin_keys == dataclasses.replace(corpus, texts=("AB ",)).twin_keys
