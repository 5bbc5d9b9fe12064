"""Protocol `replay`: the exact rows of the published goemotions-balanced experiment.

Its author kept rows with one label from train, validation and test in this order, drew label sets with Python's
`random` seeded once with 11, and cut fixed slices of each label in data order. Test rows of small cells are
training rows of large ones; that is how it was published, and nothing is removed here.
"""

from __future__ import annotations

import random
from functools import lru_cache
from itertools import pairwise

import numpy as np

from jobs.data.builtin import LABELS as GOEMOTIONS_LABELS
from jobs.data.protocols.base import Selection, total_samples
from jobs.data.rows import Corpus, DataFacts, Int64
from jobs.errors import Problem
from jobs.spec import DataSpec

NUM_LABELS = (2, 4, 8, 16)
NUM_SAMPLES = (800, 1600, 2400)
_NUM_ROWS = 54_263
_NUM_SINGLE = 45_446
_MIN_ROWS = 800
_FIRST_POOL = 9
_SEED = 11


class Replay:
    """See the module."""

    def facts(self, corpus: Corpus, spec: DataSpec) -> DataFacts:
        """Rows with one label, and the published sizes as limits."""
        limits = tuple(max(NUM_SAMPLES) if k in NUM_LABELS else 0 for k in range(max(NUM_LABELS) + 1))
        names = corpus.label_names
        counts = {names[label]: int(corpus.single_label_counts[label]) for label in _frequent(corpus)}
        return DataFacts(label_counts=counts, num_rows=len(corpus), limits=limits, counts=corpus.counts)

    def problems(self, corpus: Corpus, spec: DataSpec) -> list[Problem]:
        """Anything but the published corpus, label counts and sizes."""
        problems = []
        if spec.task != "single_label" or spec.labels is not None:
            problems.append(
                Problem("dataset.protocol", "replay has its own single-label sets: no task, no labels", "replay")
            )
        if spec.num_labels not in NUM_LABELS:
            problems.append(Problem("axes.num_labels", "replay has 2, 4, 8 and 16", str(spec.num_labels)))
        total = total_samples(spec, spec.num_labels or 0)
        if total not in NUM_SAMPLES:
            problems.append(Problem("axes.num_samples", "replay has 800, 1600 and 2400 rows in total", str(total)))
        num_single = int(np.count_nonzero(corpus.single_label >= 0))
        found = (len(corpus), num_single, corpus.label_names)
        if found != (_NUM_ROWS, _NUM_SINGLE, GOEMOTIONS_LABELS):
            rule = (
                f"replay needs GoEmotions, simplified: {_NUM_ROWS:,} rows, {_NUM_SINGLE:,} with one label, 28 labels;"
                f" {corpus.name} has {len(corpus):,}, {num_single:,} and {len(corpus.label_names)}"
            )
            problems.append(Problem("dataset", rule))
        return problems

    def select(self, corpus: Corpus, spec: DataSpec, seed: int) -> Selection:
        """The published slices; the seed changes training only."""
        labels = label_sets(_frequent(corpus))[spec.num_labels or 0]
        total = total_samples(spec, len(labels)) or 0
        n = total // len(labels)
        # The published code cut at int(n * 1.1) and int(n * 1.2).
        cuts = (0, n, int(n * 1.1), int(n * 1.2))
        rows = [np.flatnonzero(corpus.single_label == label) for label in labels]
        train, validation, test = (_slices(rows, start, stop) for start, stop in pairwise(cuts))
        keys = corpus.twin_keys
        repeated = int(np.count_nonzero(np.isin(keys[test], keys[train])))
        return Selection(
            labels=labels,
            train=train,
            validation=validation,
            test=test,
            counts={"overlap_kept": repeated},
            marks=(f"test texts that stand in train, as published: {repeated}",) if repeated else (),
        )


def label_sets(frequent: tuple[int, ...]) -> dict[int, tuple[int, ...]]:
    """The published draws, by label count; position is the class index.

    Args:
        frequent: labels with more than 800 rows, most frequent first.
    """
    generator = random.Random(_SEED)  # noqa: S311 - the published draw, not a secret
    return {k: tuple(generator.sample(frequent[:_FIRST_POOL] if k == 2 else frequent, k)) for k in NUM_LABELS}


@lru_cache(maxsize=4)
def _frequent(corpus: Corpus) -> tuple[int, ...]:
    """Labels with more than 800 single-label rows by count, ties by first appearance in the data."""
    counts = corpus.single_label_counts
    single = corpus.single_label[corpus.single_label >= 0]
    labels, first = np.unique(single, return_index=True)
    order = np.lexsort((first, -counts[labels]))
    return tuple(int(label) for label in labels[order] if counts[label] > _MIN_ROWS)


def _slices(rows: list[Int64], start: int, stop: int) -> Int64:
    return np.concatenate([of_label[start:stop] for of_label in rows])
