"""Protocol `nested`: smaller label sets and training sets lie inside larger ones; test rows never change.

The rows of a label with exactly that label, from all of the data set's own splits and without duplicates, are put
into one fixed order. The first `test_per_label` are its test rows at every label count, size and seed, the next
`validation_per_label` its validation rows. The seed orders the rest, from whose front training rows are taken:
one of each label in turn. So 800 rows lie within 1600, and a total that the labels do not divide evenly gives the
first labels one row more instead of being refused: an axis of 2, 3 and 5 labels can then share one axis of sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from jobs.data.ordering import FIXED_KEY, round_robin, seed_key, shuffled
from jobs.data.protocols.base import (
    Selection,
    chosen_labels,
    label_order,
    label_problems,
    sample_problems,
    total_samples,
)
from jobs.data.rows import Corpus, DataFacts, Int64
from jobs.errors import Problem
from jobs.spec import DataSpec


@dataclass(frozen=True, eq=False, kw_only=True)
class _Shelf:
    """Rows of one label, shared out once."""

    test: Int64
    validation: Int64
    pool: Int64


class Nested:
    """See the module."""

    def facts(self, corpus: Corpus, spec: DataSpec) -> DataFacts:
        """Training rows per label and the largest balanced total for each label count."""
        order = label_order(corpus, spec)
        sizes = [len(shelf.pool) for shelf in _shelves(corpus, spec)]
        return DataFacts(
            label_counts={corpus.label_names[label]: size for label, size in zip(order, sizes, strict=True)},
            num_rows=len(corpus),
            limits=tuple(_limit(sizes[:k]) for k in range(len(order) + 1)),
            counts={**corpus.counts, **_dropped(corpus)},
        )

    def problems(self, corpus: Corpus, spec: DataSpec) -> list[Problem]:
        """Unknown labels, labels with too few rows for fixed splits, sizes beyond the rows there are."""
        if spec.task != "single_label":
            hint = "use protocol official, or task single_label"
            return [Problem("dataset.protocol", "nested needs task single_label", spec.protocol, hint)]
        if problems := label_problems(corpus, spec):
            return problems
        facts = self.facts(corpus, spec)
        labels = chosen_labels(corpus, spec)
        limit = facts.max_samples(len(labels))
        if limit == 0:
            fixed = spec.test_per_label + spec.validation_per_label
            poor = next(
                corpus.label_names[label] for label in labels if not facts.label_counts[corpus.label_names[label]]
            )
            rule = (
                f"at most {facts.max_labels}: label {poor!r} has too few rows for {fixed} test and validation rows and"
                " one for training"
            )
            hint = "fewer labels, or smaller dataset.test_per_label and dataset.validation_per_label"
            return [Problem("axes.num_labels", rule, str(len(labels)), hint)]
        return sample_problems(spec, len(labels), limit)

    def select(self, corpus: Corpus, spec: DataSpec, seed: int) -> Selection:
        """Fixed test and validation rows, and the first training rows of the seed's order."""
        labels = chosen_labels(corpus, spec)
        shelves = _shelves(corpus, spec)[: len(labels)]
        key = seed_key(seed)
        total = total_samples(spec, len(labels))
        # No more of a label can be needed than its share, so the rest need not be interleaved.
        share = None if total is None else -(-total // len(labels))
        train = round_robin([shuffled(shelf.pool, corpus.text_keys, key)[:share] for shelf in shelves])
        return Selection(
            labels=labels,
            train=train[:total],
            validation=round_robin([shelf.validation for shelf in shelves]),
            test=round_robin([shelf.test for shelf in shelves]),
            counts=_dropped(corpus),
        )


def _shelves(corpus: Corpus, spec: DataSpec) -> tuple[_Shelf, ...]:
    return _share_out(corpus, label_order(corpus, spec), spec.test_per_label, spec.validation_per_label)


@lru_cache(maxsize=16)
def _share_out(corpus: Corpus, order: tuple[int, ...], num_test: int, num_validation: int) -> tuple[_Shelf, ...]:
    first = _first_single(corpus)
    num_fixed = num_test + num_validation
    shelves = []
    for label in order:
        rows = shuffled(first[corpus.single_label[first] == label], corpus.text_keys, FIXED_KEY)
        shelves.append(_Shelf(test=rows[:num_test], validation=rows[num_test:num_fixed], pool=rows[num_fixed:]))
    return tuple(shelves)


@lru_cache(maxsize=4)
def _first_single(corpus: Corpus) -> Int64:
    """Rows with exactly one label, the first of each text.

    Of a text that stands there with different labels, the first row counts too: no row can tell which is right.
    """
    rows = np.flatnonzero(corpus.single_label >= 0)
    _, first = np.unique(corpus.twin_keys[rows], return_index=True)
    return rows[np.sort(first)]


def _dropped(corpus: Corpus) -> dict[str, int]:
    num_single = int(np.count_nonzero(corpus.single_label >= 0))
    return {
        "rows_with_several_labels": len(corpus) - num_single,
        "duplicates_dropped": num_single - len(_first_single(corpus)),
    }


def _limit(sizes: list[int]) -> int:
    """The largest total whose round-robin shares fit: label i gets ceil((total - i) / k) rows."""
    if not sizes or min(sizes) == 0:
        return 0
    return min(len(sizes) * size + index for index, size in enumerate(sizes))
