"""Cleaning, filtering and grouping of a corpus: what changes, what is dropped, what is counted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from jobs.data import builtin, prepare, read_rows
from jobs.data.rows import Corpus
from jobs.data.shaping import is_shaped, shaped, unshaped
from jobs.errors import DataError
from jobs.spec import DataSpec, LabelGroup

TEXTS = (
    "see https://example.org/a?b=1 or www.example.com now",
    "thanks @some_user and /u/other-one, mail me@home.org",
    "good<br /><br />film &amp; more   spaces\t here",
    "@only",
    "a plain text",
)


def corpus() -> Corpus:
    return Corpus(
        name="toy",
        texts=TEXTS,
        row_ids=tuple("abcde"),
        label_names=("joy", "love", "anger", "neutral"),
        label_offsets=np.array([0, 1, 3, 4, 5, 6], dtype=np.int64),
        label_ids=np.array([0, 1, 2, 3, 0, 2], dtype=np.int64),
        splits=np.array([0, 0, 1, 2, 2], dtype=np.int8),
        counts={"rows_read": 5},
    )


def spec(**changes: Any) -> DataSpec:
    return DataSpec(source="files", **changes)


def test_every_cleaner_does_its_own_part_and_no_other() -> None:
    assert shaped(corpus(), spec(clean=("urls",))).texts[0] == "see   or   now"
    assert shaped(corpus(), spec(clean=("user_names",))).texts[1] == "thanks   and  , mail me@home.org"
    assert shaped(corpus(), spec(clean=("html",))).texts[2] == "good  film & more   spaces\t here"
    assert shaped(corpus(), spec(clean=("spaces",))).texts[2] == "good<br /><br />film &amp; more spaces here"


def test_order_of_the_list_does_not_matter() -> None:
    one = shaped(corpus(), spec(clean=("urls", "user_names", "spaces")))
    other = shaped(corpus(), spec(clean=("spaces", "urls", "user_names")))
    assert one.texts == other.texts and one.texts[0] == "see or now"


def test_texts_blank_after_cleaning_go_with_their_labels_and_are_counted() -> None:
    found = shaped(corpus(), spec(clean=("user_names",)))
    assert found.row_ids == ("a", "b", "c", "e")
    assert [list(found.label_ids[a:b]) for a, b in zip(found.label_offsets, found.label_offsets[1:], strict=False)] == [
        [0], [1, 2], [3], [2],
    ]  # fmt: skip
    assert found.splits is not None and found.splits.tolist() == [0, 0, 1, 2]
    assert found.counts["texts_blank_after_cleaning_dropped"] == 1
    assert found.counts["texts_cleaned_user_names"] == 2 and found.counts["rows_read"] == 5


def test_filters_keep_and_drop_and_count() -> None:
    found = shaped(corpus(), spec(keep_matching="text|film", drop_matching="(?i)PLAIN"))
    assert found.row_ids == ("c",)
    assert found.counts["rows_not_kept_by_filter"] == 3 and found.counts["rows_dropped_by_filter"] == 1


def test_groups_merge_labels_and_drop_what_is_in_none() -> None:
    groups = (LabelGroup(name="good", labels=("joy", "love")), LabelGroup(name="bad", labels=("anger",)))
    found = shaped(corpus(), spec(label_groups=groups))
    assert found.label_names == ("good", "bad") and found.row_ids == ("a", "b", "d", "e")
    assert found.label_ids.tolist() == [0, 0, 1, 0, 1] and found.counts["rows_without_group_dropped"] == 1


def test_unknown_label_and_empty_outcome_are_refused() -> None:
    with pytest.raises(DataError, match="names hate; toy has the labels joy"):
        shaped(corpus(), spec(label_groups=(LabelGroup(name="x", labels=("hate",)),)))
    with pytest.raises(DataError, match="no row is left"):
        shaped(corpus(), spec(keep_matching="zebra"))


def test_reading_shapes_once_and_leaves_the_plain_corpus_alone() -> None:
    plain = DataSpec(source="builtin", rows=2000)
    groups = (
        LabelGroup(name="joyful", labels=("joy", "love")),
        LabelGroup(name="cross", labels=("anger", "annoyance")),
    )
    grouped = replace(plain, label_groups=groups)
    assert is_shaped(grouped) and not is_shaped(plain) and unshaped(grouped) == plain
    found = read_rows(grouped)
    assert found is read_rows(grouped) and found.label_names == ("joyful", "cross")
    assert read_rows(plain).label_names == builtin.LABELS
    data = prepare(replace(grouped, num_labels=2, num_samples=20, test_per_label=5, validation_per_label=5), seed=0)
    assert set(data.label_names) == {"joyful", "cross"} and data.counts["rows_without_group_dropped"] > 0
