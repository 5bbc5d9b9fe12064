"""What a data set is like before anybody trains on it: counts, lengths, repeated and contradicting texts, leakage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from jobs.data.rows import SPLIT_NAMES, TEST, TRAIN, Corpus


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """Facts about the rows of one data set, none of them about a model."""

    num_rows: int
    dropped: Mapping[str, int]
    """Counts of reading: blank texts, bad rows, ..."""
    split_rows: Mapping[str, int]
    """Rows of each split the set comes with; empty when it has none."""
    label_counts: Mapping[str, int]
    """Rows that carry the label, most frequent first."""
    rows_with_several_labels: int
    words: tuple[int, int, int]
    """Words a text: median, 95th percentile, most."""
    repeated_texts: int
    """Rows whose text stands in an earlier row, case and spacing aside."""
    contradictions: int
    """Different texts that stand there with different labels."""
    leaked_rows: int
    """Rows of test whose text stands in train or validation."""


def inspect_corpus(corpus: Corpus) -> Inspection:
    """Count what a person would want to know first.

    Args:
        corpus: validated rows.
    Returns:
        the facts; exact, not sampled.
    """
    lengths = np.array([len(text.split()) for text in corpus.texts])
    median, high, most = np.percentile(lengths, [50, 95, 100], method="higher")
    _, first, inverse = np.unique(corpus.twin_keys, return_index=True, return_inverse=True)
    order = np.argsort(-corpus.any_label_counts, kind="stable")
    return Inspection(
        num_rows=len(corpus),
        dropped={name: count for name, count in corpus.counts.items() if count and name != "rows_read"},
        split_rows=_split_rows(corpus),
        label_counts={corpus.label_names[label]: int(corpus.any_label_counts[label]) for label in order},
        rows_with_several_labels=int(np.count_nonzero(corpus.num_labels_of_row > 1)),
        words=(int(median), int(high), int(most)),
        repeated_texts=len(corpus) - len(first),
        contradictions=_contradictions(corpus, first, inverse),
        leaked_rows=_leaked(corpus),
    )


def _split_rows(corpus: Corpus) -> dict[str, int]:
    if corpus.splits is None:
        return {}
    counts = np.bincount(corpus.splits, minlength=len(SPLIT_NAMES))
    return {name: int(count) for name, count in zip(SPLIT_NAMES, counts, strict=True) if count}


def _labels_of(corpus: Corpus, row: int) -> frozenset[int]:
    start, stop = corpus.label_offsets[row : row + 2]
    return frozenset(corpus.label_ids[start:stop].tolist())


def _contradictions(corpus: Corpus, first: np.ndarray, inverse: np.ndarray) -> int:
    repeated = np.flatnonzero(first[inverse] != np.arange(len(corpus))).tolist()
    earlier = first[inverse].tolist()
    differing = {earlier[row] for row in repeated if _labels_of(corpus, row) != _labels_of(corpus, earlier[row])}
    return len(differing)


def _leaked(corpus: Corpus) -> int:
    if corpus.splits is None or not (corpus.splits == TEST).any() or not (corpus.splits == TRAIN).any():
        return 0
    is_test = corpus.splits == TEST
    return int(np.isin(corpus.twin_keys[is_test], corpus.twin_keys[~is_test]).sum())
