"""Facts about a data set, against counts made by hand."""

import numpy as np

from jobs.data.inspecting import inspect_corpus
from jobs.data.rows import Corpus

ROWS = [  # text, labels, split
    ("one", ["a"], 0),
    ("One ", ["b"], 0),  # repeats row 0 with another label
    ("two words", ["a", "b"], 0),
    ("two  words", ["b", "a"], 1),  # repeats row 2, the same labels
    ("three small words", [], 0),
    ("one", ["a"], 2),  # leaks
    ("six words that stand here alone", ["c"], 2),
]


def corpus(rows, with_splits=True):
    names = ("a", "b", "c")
    ids = [names.index(label) for _, labels, _ in rows for label in labels]
    return Corpus(
        name="mine",
        texts=tuple(text for text, _, _ in rows),
        row_ids=tuple(map(str, range(len(rows)))),
        label_names=names,
        label_offsets=np.cumsum([0, *(len(labels) for _, labels, _ in rows)]),
        label_ids=np.array(ids),
        splits=np.array([split for *_, split in rows], dtype=np.int8) if with_splits else None,
        counts={"rows_read": 7, "texts_blank_dropped": 2, "bad_rows_dropped": 0},
    )


def test_everything_is_counted():
    found = inspect_corpus(corpus(ROWS))
    assert found.num_rows == 7
    assert found.split_rows == {"train": 4, "validation": 1, "test": 2}
    assert list(found.label_counts.items()) == [("a", 4), ("b", 3), ("c", 1)]
    assert found.rows_with_several_labels == 2
    assert found.words == (2, 6, 6)
    assert found.repeated_texts == 3
    assert found.contradictions == 1
    assert found.leaked_rows == 1
    assert found.dropped == {"texts_blank_dropped": 2}


def test_without_splits_nothing_leaks():
    found = inspect_corpus(corpus(ROWS, with_splits=False))
    assert found.split_rows == {} and found.leaked_rows == 0


def test_signs_that_show_nothing_hide_no_leak():
    found = inspect_corpus(corpus([("same", ["a"], 0), ("other", ["b"], 0), ("sa\xadme\ufeff", ["b"], 2)]))
    assert (found.repeated_texts, found.contradictions, found.leaked_rows) == (1, 1, 1)
