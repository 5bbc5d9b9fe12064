"""What a config asks to do with texts and labels before rows are chosen: clean, filter, group labels.

Everything is counted; rows keep their ids and their order. The steps always run in this order: clean (markup, links,
user names, spaces), drop what is blank by then, filter, group labels.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from jobs.data.rows import Bools, Corpus
from jobs.errors import DataError
from jobs.spec import DataSpec, LabelGroup

_TAG = re.compile(r"<[A-Za-z/!][^<>]{0,500}>")
_URL = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
_USER_NAME = re.compile(r"(?<![\w@/])(?:@|/?u/)[A-Za-z0-9_][A-Za-z0-9_-]{0,38}")

CLEANERS: Mapping[str, Callable[[str], str]] = {
    "html": lambda text: html.unescape(_TAG.sub(" ", text)),
    "urls": lambda text: _URL.sub(" ", text),
    "user_names": lambda text: _USER_NAME.sub(" ", text),
    "spaces": lambda text: " ".join(text.split()),
}
"""By the names that `dataset.clean` may list, in the order in which they run."""


def shaped(corpus: Corpus, spec: DataSpec) -> Corpus:
    """Clean, filter and group a corpus as a data set section asks.

    Args:
        corpus: as read.
        spec: `clean`, `keep_matching`, `drop_matching` and `label_groups` matter.
    Returns:
        a new corpus with counts of what was changed and dropped.
    Raises:
        DataError: a group names an unknown label, or no row is left.
    """
    texts, counts = _cleaned(corpus.texts, spec.clean)
    keep_n = np.array([bool(text.strip()) for text in texts], dtype=np.bool_)
    counts["texts_blank_after_cleaning_dropped"] = int((~keep_n).sum())
    for name, pattern, wanted in (("kept", spec.keep_matching, True), ("dropped", spec.drop_matching, False)):
        if pattern is not None:
            fits_n = _matches(texts, pattern) == wanted
            counts[f"rows_not_{name}_by_filter" if wanted else "rows_dropped_by_filter"] = int((keep_n & ~fits_n).sum())
            keep_n &= fits_n
    labels = [list(corpus.label_ids[first:last]) for first, last in pairwise(corpus.label_offsets)]
    names = corpus.label_names
    if spec.label_groups is not None:
        group_of = _group_of(corpus, spec.label_groups)
        labels = [sorted({group_of[label] for label in own if label in group_of}) for own in labels]
        has_label_n = np.array([bool(own) for own in labels], dtype=np.bool_)
        counts["rows_without_group_dropped"] = int((keep_n & ~has_label_n).sum())
        keep_n &= has_label_n
        names = tuple(group.name for group in spec.label_groups)
    if not keep_n.any():
        raise DataError(f"{corpus.name}: no row is left after dataset.clean, the filters and label_groups")
    return _rebuilt(corpus, keep_n, texts, labels, names, counts)


def is_shaped(spec: DataSpec) -> bool:
    """Whether a data set section asks for any of it."""
    return any(part for part in shape_of(spec))


def shape_of(spec: DataSpec) -> tuple[object, ...]:
    """What a data set section asks for; equal for sections that ask for the same."""
    return spec.clean, spec.keep_matching, spec.drop_matching, spec.label_groups


def unshaped(spec: DataSpec) -> DataSpec:
    """The same data set as it is read."""
    return replace(spec, clean=(), keep_matching=None, drop_matching=None, label_groups=None)


def _cleaned(texts: Sequence[str], steps: Sequence[str]) -> tuple[tuple[str, ...], Counter[str]]:
    counts: Counter[str] = Counter()
    cleaned = tuple(texts)
    for name, cleaner in CLEANERS.items():
        if name in steps:
            after = tuple(cleaner(text) for text in cleaned)
            counts[f"texts_cleaned_{name}"] = sum(one != other for one, other in zip(cleaned, after, strict=True))
            cleaned = after
    return cleaned, counts


def _matches(texts: Sequence[str], pattern: str) -> Bools:
    found = re.compile(pattern).search
    return np.array([found(text) is not None for text in texts], dtype=np.bool_)


def _group_of(corpus: Corpus, groups: Sequence[LabelGroup]) -> dict[int, int]:
    """Label id -> position of its group."""
    position = {name: index for index, name in enumerate(corpus.label_names)}
    unknown = [label for group in groups for label in group.labels if label not in position]
    if unknown:
        have = ", ".join(corpus.label_names[:40])
        raise DataError(f"dataset.label_groups names {', '.join(unknown[:10])}; {corpus.name} has the labels {have}")
    return {position[label]: index for index, group in enumerate(groups) for label in group.labels}


def _rebuilt(
    corpus: Corpus,
    keep_n: Bools,
    texts: Sequence[str],
    labels: Sequence[Sequence[int]],
    names: tuple[str, ...],
    counts: Mapping[str, int],
) -> Corpus:
    rows = np.flatnonzero(keep_n).tolist()
    kept = [labels[row] for row in rows]
    return Corpus(
        name=corpus.name,
        texts=tuple(texts[row] for row in rows),
        row_ids=tuple(corpus.row_ids[row] for row in rows),
        label_names=names,
        label_offsets=np.cumsum([0, *(len(own) for own in kept)], dtype=np.int64),
        label_ids=np.array([label for own in kept for label in own], dtype=np.int64),
        splits=None if corpus.splits is None else corpus.splits[rows],
        counts={**corpus.counts, **{name: count for name, count in counts.items() if count}},
        marks=corpus.marks,
    )
