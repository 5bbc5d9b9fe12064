"""From raw rows to a corpus: labels, ids, splits, counts and marks."""

from __future__ import annotations

import pytest

from jobs.data.bad_rows import BadRows
from jobs.data.raw import RawRow, assemble
from jobs.data.rows import TEST, TRAIN, Corpus
from jobs.errors import DataError


def _assemble(
    rows: list[tuple[object, object, object]],
    *,
    names: list[str] | None = None,
    split: int | None = None,
    drop: float | None = None,
) -> Corpus:
    raw = [RawRow(text, labels, row_id, "f.csv", line, split) for line, (text, labels, row_id) in enumerate(rows, 2)]
    bad = BadRows("fail" if drop is None else "drop", drop or 0.0)
    return assemble("f", raw, names, bad)


def test_names_that_are_numbers_sort_by_size() -> None:
    corpus = _assemble([("a", "10", None), ("b", "2", None), ("c", "1", None)])
    assert corpus.label_names == ("1", "2", "10")
    assert corpus.single_label.tolist() == [2, 1, 0]


def test_other_names_sort_as_text_and_are_stripped() -> None:
    assert _assemble([("a", "joy ", None), ("b", " anger", None)]).label_names == ("anger", "joy")


def test_several_labels_are_ordered_and_counted_once() -> None:
    corpus = _assemble([("a", ["y", "x", "y"], None), ("b", "x", None)])
    assert corpus.label_ids.tolist() == [0, 1, 0]
    assert corpus.label_offsets.tolist() == [0, 2, 3]
    assert corpus.single_label.tolist() == [-1, 0]
    assert corpus.any_label_counts.tolist() == [2, 1]


def test_known_names_accept_names_and_ids() -> None:
    corpus = _assemble([("a", "joy", None), ("b", 0, None), ("c", "1", None)], names=["joy", "anger", "calm"])
    assert corpus.single_label.tolist() == [0, 0, 1]
    assert corpus.label_names == ("joy", "anger", "calm")


def test_a_number_is_an_id_but_a_numeric_text_is_first_a_name() -> None:
    corpus = _assemble([("a", 1, None), ("b", "1", None)], names=["1", "2"])
    assert corpus.single_label.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((None, "joy", None), "the text is missing"),
        ((5, "joy", None), "the text is of type int, not a string"),
        (("a", None, None), "the label is missing"),
        (("a", True, None), "the label is of type bool"),
        (("a", 1.0, None), "the label is of type float"),
        (("a", "  ", None), "the label is empty"),
        (("a", [], None), "the row has no label"),
        (("a", "jou", None), "unknown label 'jou'; did you mean 'joy'?"),
        (("a", 7, None), "unknown label '7'; there are 2 labels, ids from 0"),
        (("a", -1, None), "unknown label '-1'"),
        (("a", "joy", "\ud800"), "the id is empty or no valid text"),
    ],
)
def test_faults_of_rows(row: tuple[object, object, object], message: str) -> None:
    with pytest.raises(DataError) as caught:
        _assemble([("fine", "joy", None), row], names=["joy", "anger"])
    assert str(caught.value).startswith("f.csv:3: ")
    assert message in str(caught.value)


def test_duplicate_ids_name_both_places() -> None:
    with pytest.raises(DataError, match=r"f\.csv:4: id 'k' stands at f\.csv:2 already"):
        _assemble([("a", "x", "k"), ("b", "y", "l"), ("c", "x", "k")])


def test_rows_without_ids_are_named_by_their_place_even_when_others_are_dropped() -> None:
    rows: list[tuple[object, object, object]] = [("a", "x", None), (" ", "y", None), ("c", "y", None)]
    assert _assemble(rows).row_ids == ("row-0", "row-2")
    assert _assemble(rows, split=TRAIN).row_ids == ("train-0", "train-2")
    splits = _assemble(rows, split=TEST).splits
    assert splits is not None and splits.tolist() == [TEST, TEST]


def test_drops_are_counted_and_marked() -> None:
    rows: list[tuple[object, object, object]] = [
        ("a", "x", None),
        ("", "y", None),
        (None, "x", None),
        ("d\ud800", "y", None),
    ]
    corpus = _assemble(rows, drop=0.25)
    assert corpus.texts == ("a", "d\ufffd")
    assert corpus.counts == {
        "rows_read": 4,
        "bad_rows_dropped": 1,
        "texts_blank_dropped": 1,
        "texts_surrogates_replaced": 1,
    }
    assert corpus.marks == (
        "malformed rows dropped: 1",
        "blank texts dropped: 1",
        "texts with invalid characters replaced: 1",
    )


def test_clean_rows_leave_no_marks() -> None:
    corpus = _assemble([("a", "x", None), ("b", "y", None)])
    assert corpus.marks == ()
    assert corpus.counts == {"rows_read": 2}


def test_rows_that_the_reader_refused_count_as_read() -> None:
    bad = BadRows("drop", 0.5)
    bad.add("f.csv", 9, "open quote", num_rows=2)
    raw = [RawRow("a", "x", None, "f.csv", 2, None), RawRow("b", "y", None, "f.csv", 3, None)]
    assert assemble("f", raw, None, bad).counts == {"rows_read": 4, "bad_rows_dropped": 2}


def test_nothing_and_one_class_are_refused() -> None:
    with pytest.raises(DataError, match="no usable rows"):
        _assemble([])
    with pytest.raises(DataError, match="no usable rows"):
        _assemble([("  ", "x", None)])
    with pytest.raises(DataError, match=r"1,001 different labels, more than 1,000; is dataset\.label_column right"):
        _assemble([(f"text {row}", row, None) for row in range(1001)])
    with pytest.raises(DataError, match="only one label"):
        _assemble([("a", "x", None), ("b", "x", None)])
