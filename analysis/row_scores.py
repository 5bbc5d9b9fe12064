"""What each test row adds to a score: numbers of single rows whose mean is the score, for pairing arms on rows.

Accuracy, subset accuracy and Hamming loss are means over rows: their rows' numbers are exact. F1, precision, recall and
balanced accuracy are made of counts over all rows: a row's number is its jackknife pseudo-value, how much the score
would change without it, times the number of rows. Their mean is the score as well, and they vary over rows as the score
varies over test sets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

HIDDEN_ROWS: Final = 0.25
"""Imagined rows that a label gets right, and as many that it gets wrong; they count for the variance only."""

Numbers = NDArray[np.float64]
Part = Callable[[Numbers, Numbers, Numbers], Numbers]
"""What each label adds, from its hits, calls (rows that it was said of) and support (rows that have it)."""

ROW_MEANS: Final = frozenset({"accuracy", "subset_accuracy", "hamming_loss"})
"""Metrics that are means over rows: a part of the rows has one of its own."""


def row_scores(metric: str, truth: NDArray[Any], said: NDArray[Any]) -> NDArray[Any] | None:
    """Numbers of single rows for one metric of one split.

    Args:
        metric: its name in the store; decisions at 0.5.
        truth: class indices [rows], or 0/1 [rows, labels].
        said: predictions of the same shape.
    Returns:
        [rows], bool for rights and wrongs, else float; their mean is the metric. None: no such numbers for this metric
        or task, no row, or the metric is undefined here.
    """
    is_multi = truth.ndim == 2
    if len(truth) == 0 or metric not in (_MULTI if is_multi else _SINGLE):
        return None
    if metric in ("accuracy", "subset_accuracy"):
        return np.asarray((truth == said).all(axis=1) if is_multi else truth == said)
    if metric == "hamming_loss":
        return np.asarray((truth != said).mean(axis=1))
    above, below = _SUMS[metric]
    changes = _changes(truth, said)
    # Labels that are averaged over stay the same ones without a row: a rare one would else come and go with it.
    lower = (changes.total(below), np.zeros(len(truth))) if metric in _MACRO else changes.of(below)
    if lower[0] <= 0:
        return None
    upper = changes.of(above)
    without = _ratio(upper[0] + upper[1], lower[0] + lower[1])
    return np.asarray(upper[0] / lower[0] + (len(truth) - 1) * (without.mean() - without))


def hidden_variance(metric: str, truth: NDArray[Any], said: NDArray[Any]) -> float:
    """The variance of a score over test sets that its rows do not show, for labels that few rows are about.

    A label of which all rows are right, or all wrong, or that stands in no row, looks as if it were always so: the
    jackknife sees no variance. What a label's F1, precision or recall is made of is a share of right ones among the
    rows that it is about; with HIDDEN_ROWS imagined right and as many wrong ones (as Goutte and Gaussier 2005 have them
    for F1) that share has a variance at any number of rows. What it is above that of the jackknife is hidden.

    Args:
        metric: its name in the store.
        truth: class indices [rows], or 0/1 [rows, labels].
        said: predictions of the same shape.
    Returns:
        the variance of the score, not below 0; 0 for scores that do not count every label alike.
    """
    if metric not in _MACRO or len(truth) == 0:
        return 0.0
    above, below = _SUMS[metric]
    changes = _changes(truth, said)
    rows_of: dict[Part, Numbers] = {_f1: changes.touched, _precision: changes.calls, _recall: changes.support}
    hits, rows = changes.hits, rows_of[above]
    share = (hits + HIDDEN_ROWS) / (rows + 2 * HIDDEN_ROWS)
    slope = 2.0 / (1.0 + share) ** 2 if above is _f1 else np.ones_like(share)  # F1 = 2 share / (1 + share)
    expected = slope**2 * share * (1.0 - share) / (rows + 2 * HIDDEN_ROWS)
    labels = max(changes.total(below), 1.0)
    return float(np.maximum(expected - changes.shown_variance(above), 0.0).sum() / labels**2)


def _changes(truth: NDArray[Any], said: NDArray[Any]) -> _Changes:
    return _Changes(truth.astype(np.float64), said.astype(np.float64)) if truth.ndim == 2 else _Changes(truth, said)


class _Changes:
    """Sums over labels, and how each row would change them by not being there."""

    def __init__(self, truth: NDArray[Any], said: NDArray[Any]) -> None:
        self._truth, self._said = truth, said
        if truth.ndim == 2:
            self._hits = truth * said
            totals = [part.sum(axis=0) for part in (self._hits, said, truth)]
        else:
            self._is_right = truth == said
            labels = int(max(truth.max(), said.max())) + 1
            parts = (truth[self._is_right], said, truth)
            totals = [np.bincount(part, minlength=labels).astype(np.float64) for part in parts]
        self.hits, self.calls, self.support = totals

    @property
    def touched(self) -> Numbers:
        """Rows that have a label, or that it was said of."""
        return np.asarray(self.calls + self.support - self.hits)

    def total(self, part: Part) -> float:
        """The sum of a part over the labels."""
        return float(part(self.hits, self.calls, self.support).sum())

    def of(self, part: Part) -> tuple[float, Numbers]:
        """The sum of a part over the labels, and its change without each row [rows]."""
        hit, false_call, miss = self._steps(part)
        if self._truth.ndim == 2:
            change = self._hits @ (hit - false_call - miss) + self._said @ false_call + self._truth @ miss
        else:
            change = np.where(self._is_right, hit[self._truth], miss[self._truth] + false_call[self._said])
        return self.total(part), np.asarray(change)

    def shown_variance(self, part: Part) -> Numbers:
        """What the jackknife says of the variance of each label's part, from the rows that it is about."""
        hit, false_call, miss = self._steps(part)
        false_calls, misses = self.calls - self.hits, self.support - self.hits
        return np.asarray(self.hits * hit**2 + false_calls * false_call**2 + misses * miss**2)

    def _steps(self, part: Part) -> tuple[Numbers, Numbers, Numbers]:
        """How each label's part changes without one row: one that was hit, falsely called, missed."""
        hits, calls, support = self.hits, self.calls, self.support
        whole = part(hits, calls, support)
        hit = part(_less(hits), _less(calls), _less(support)) - whole
        return hit, part(hits, _less(calls), support) - whole, part(hits, calls, _less(support)) - whole


def _less(count: Numbers) -> Numbers:
    return np.maximum(count - 1, 0.0)


def _ratio(part: Any, whole: Any) -> Any:
    """Part of a whole; 0 where there is no whole, as the metrics count a label that was never said."""
    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=np.asarray(whole) > 0)


def _f1(hits: Numbers, calls: Numbers, support: Numbers) -> Numbers:
    return np.asarray(_ratio(2 * hits, calls + support))


def _precision(hits: Numbers, calls: Numbers, support: Numbers) -> Numbers:
    return np.asarray(_ratio(hits, calls))


def _recall(hits: Numbers, calls: Numbers, support: Numbers) -> Numbers:
    return np.asarray(_ratio(hits, support))


def _weighted_f1(hits: Numbers, calls: Numbers, support: Numbers) -> Numbers:
    return _f1(hits, calls, support) * support


def _weighted_precision(hits: Numbers, calls: Numbers, support: Numbers) -> Numbers:
    return _precision(hits, calls, support) * support


def _twice_hits(hits: Numbers, calls: Numbers, support: Numbers) -> Numbers:
    return 2 * hits


def _hits(hits: Numbers, calls: Numbers, support: Numbers) -> Numbers:
    return hits


def _calls(hits: Numbers, calls: Numbers, support: Numbers) -> Numbers:
    return calls


def _support(hits: Numbers, calls: Numbers, support: Numbers) -> Numbers:
    return support


def _both(hits: Numbers, calls: Numbers, support: Numbers) -> Numbers:
    return calls + support


def _present(hits: Numbers, calls: Numbers, support: Numbers) -> Numbers:
    """Labels that stand in truth or predictions: the ones that F1 and precision are averaged over."""
    return np.asarray((calls + support > 0).astype(np.float64))


def _supported(hits: Numbers, calls: Numbers, support: Numbers) -> Numbers:
    """Labels that rows have: the ones that recall is averaged over."""
    return np.asarray((support > 0).astype(np.float64))


_SUMS: Final[dict[str, tuple[Part, Part]]] = {
    "f1_macro": (_f1, _present),
    "f1_micro": (_twice_hits, _both),
    "f1_weighted": (_weighted_f1, _support),
    "precision_macro": (_precision, _present),
    "precision_micro": (_hits, _calls),
    "precision_weighted": (_weighted_precision, _support),
    "recall_macro": (_recall, _supported),
    "recall_micro": (_hits, _support),
    "recall_weighted": (_hits, _support),
    "balanced_accuracy": (_recall, _supported),
}
"""Each metric as one sum over the labels divided by another."""
_MACRO: Final = frozenset({"f1_macro", "precision_macro", "recall_macro", "balanced_accuracy"})
"""Means over the labels that stand in truth or predictions, or in truth."""
_SINGLE: Final = frozenset({"accuracy", *_SUMS})
_MULTI: Final = frozenset({"subset_accuracy", "hamming_loss", *_SUMS}) - {"balanced_accuracy"}
