"""Protocol `official`: the data set's own splits; a number of labels or rows is a nested, stratified part of them.

Single-label: rows with exactly one label, if it is kept. Multi-label: rows with at least one kept label.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from jobs.data.ordering import FIXED_KEY, seed_key, stratified
from jobs.data.protocols.base import (
    Selection,
    chosen_labels,
    label_order,
    label_problems,
    sample_problems,
    total_samples,
)
from jobs.data.rows import SPLIT_NAMES, TEST, TRAIN, VALIDATION, Bools, Corpus, DataFacts, Int64
from jobs.errors import Problem
from jobs.spec import DataSpec

_VALIDATION_SHARE = 0.1
"""Part of train that becomes validation where the data set has none."""


@dataclass(frozen=True, eq=False, kw_only=True)
class _Parts:
    """The splits for one label set, before any sub-sample."""

    train: Int64
    validation: Int64
    test: Int64
    num_overlapping: int
    """Train rows that stand in validation or test, and validation rows that stand in test."""
    num_test_overlapping: int
    """Those of them that touch test."""
    validation_from_train: bool


class Official:
    """See the module."""

    def facts(self, corpus: Corpus, spec: DataSpec) -> DataFacts:
        """Training rows per label, and all of them as the limit of each label count."""
        order = label_order(corpus, spec)
        is_train = _split_rows(corpus) == TRAIN
        counts = {corpus.label_names[label]: int((_members(corpus, spec, label) & is_train).sum()) for label in order}
        limits = [0, 0]
        for k in range(2, len(order) + 1):
            limits.append(len(_kept_parts(corpus, spec, order[:k]).train))
        return DataFacts(label_counts=counts, num_rows=len(corpus), limits=tuple(limits), counts=corpus.counts)

    def problems(self, corpus: Corpus, spec: DataSpec) -> list[Problem]:
        """No own splits, overlap that is to be refused, unknown labels, sizes beyond the rows there are."""
        if corpus.splits is None or not {TRAIN, TEST} <= set(np.unique(corpus.splits).tolist()):
            rule = f"official needs train and test splits, which {corpus.name} does not have"
            return [Problem("dataset.protocol", rule, "official", "use protocol nested")]
        if problems := label_problems(corpus, spec):
            return problems
        if spec.num_samples is not None and spec.num_samples_per == "label":
            hint = "use total, or protocol nested"
            return [Problem("dataset.num_samples_per", "official does not balance labels", "label", hint)]
        labels = chosen_labels(corpus, spec)
        parts = _kept_parts(corpus, spec, labels)
        problems = _empty_parts(corpus, parts, labels, spec)
        if spec.overlap == "refuse" and parts.num_overlapping:
            rule = (
                f"{parts.num_overlapping} texts stand in more than one split of {corpus.name}"
                f" ({parts.num_test_overlapping} of them in test)"
            )
            hint = "set dataset.overlap: drop to take them out of train (and of validation where they stand in test)"
            problems.append(Problem("dataset.overlap", rule, "refuse", hint))
        return problems + sample_problems(spec, len(labels), len(parts.train))

    def select(self, corpus: Corpus, spec: DataSpec, seed: int) -> Selection:
        """Own splits; of train, the first rows of the seed's stratified order."""
        labels = chosen_labels(corpus, spec)
        parts = _kept_parts(corpus, spec, labels)
        total = total_samples(spec, len(labels))
        train = parts.train
        if total is not None:
            train = stratified(train, _membership(corpus, labels)[train], corpus.text_keys, seed_key(seed))[:total]
        marks = []
        if parts.num_overlapping:
            marks.append(f"rows dropped because their texts stand in another split: {parts.num_overlapping}")
        if parts.validation_from_train:
            marks.append("validation rows drawn from train: the data set has none")
        if spec.validation == "test":
            marks.append(
                "selected on test rows, thresholds and calibration fitted on them: validation is the test split"
            )
        return Selection(
            labels=labels,
            train=train,
            validation=parts.validation,
            test=parts.test,
            counts={
                **_left_out(corpus, labels, spec),
                "overlap_dropped": parts.num_overlapping,
                "duplicates_kept": _num_duplicates(corpus, parts.train),
            },
            marks=tuple(marks),
        )


def _left_out(corpus: Corpus, labels: tuple[int, ...], spec: DataSpec) -> dict[str, int]:
    """Rows of no split, and why."""
    several = 0 if spec.task == "multi_label" else int((corpus.num_labels_of_row > 1).sum())
    others = len(corpus) - several - int(_has_kept_label(corpus, labels, spec.task == "multi_label").sum())
    found = {"rows_with_several_labels": several, "rows_without_kept_label": others}
    return {name: number for name, number in found.items() if number}


def _kept_parts(corpus: Corpus, spec: DataSpec, labels: tuple[int, ...]) -> _Parts:
    return _cut(corpus, labels, spec.task == "multi_label", spec.validation == "test")


@lru_cache(maxsize=64)
def _cut(corpus: Corpus, labels: tuple[int, ...], is_multi: bool, validates_on_test: bool) -> _Parts:
    is_kept = _has_kept_label(corpus, labels, is_multi)
    splits = _split_rows(corpus)
    train, validation, test = (np.flatnonzero(is_kept & (splits == split)) for split in (TRAIN, VALIDATION, TEST))
    drawn = not (splits == VALIDATION).any() and not validates_on_test
    if validates_on_test:
        validation = test
    elif drawn:
        order = stratified(train, _membership(corpus, labels)[train], corpus.text_keys, FIXED_KEY)
        num_validation = int(len(order) * _VALIDATION_SHARE)
        validation, train = np.sort(order[:num_validation]), np.sort(order[num_validation:])
    keys = corpus.twin_keys
    validation_in_test = np.isin(keys[validation], keys[test]) & (not validates_on_test)
    train_in_test = np.isin(keys[train], keys[test])
    train_repeated = train_in_test | np.isin(keys[train], keys[validation])
    return _Parts(
        train=train[~train_repeated],
        validation=validation[~validation_in_test],
        test=test,
        num_overlapping=int(validation_in_test.sum() + train_repeated.sum()),
        num_test_overlapping=int(validation_in_test.sum() + train_in_test.sum()),
        validation_from_train=drawn,
    )


def _empty_parts(corpus: Corpus, parts: _Parts, labels: tuple[int, ...], spec: DataSpec) -> list[Problem]:
    for name, rows in zip(SPLIT_NAMES, (parts.train, parts.validation, parts.test), strict=True):
        if not len(rows):
            rule = f"the {name} split of {corpus.name} has no rows with these labels"
            return [Problem("axes.num_labels", rule, str(spec.num_labels or len(labels)))]
    return []


def _split_rows(corpus: Corpus) -> Int64:
    """The split of each row; -1 for data without splits."""
    return np.full(len(corpus), -1, dtype=np.int64) if corpus.splits is None else corpus.splits.astype(np.int64)


def _members(corpus: Corpus, spec: DataSpec, label: int) -> Bools:
    return corpus.has_label(label) if spec.task == "multi_label" else corpus.single_label == label


def _has_kept_label(corpus: Corpus, labels: tuple[int, ...], is_multi: bool) -> Bools:
    if is_multi:
        return np.asarray(_membership(corpus, labels).any(axis=1), dtype=np.bool_)
    return np.isin(corpus.single_label, labels)


@lru_cache(maxsize=16)
def _membership(corpus: Corpus, labels: tuple[int, ...]) -> Bools:
    """[rows, labels]: which rows carry which label."""
    return np.stack([corpus.has_label(label) for label in labels], axis=1)


def _num_duplicates(corpus: Corpus, rows: Int64) -> int:
    return len(rows) - len(np.unique(corpus.twin_keys[rows]))
