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
    changes = _Changes(truth.astype(np.float64), said.astype(np.float64)) if is_multi else _Changes(truth, said)
    upper, lower = changes.of(above), changes.of(below)
    if below is _present or below is _supported:
        lower = lower[0], np.zeros(len(truth))  # a rare label would else come and go with a row
    if lower[0] <= 0:
        return None
    without = _ratio(upper[0] + upper[1], lower[0] + lower[1])
    return np.asarray(upper[0] / lower[0] + (len(truth) - 1) * (without.mean() - without))


class _Changes:
    """Sums over labels, and how each row would change them by not being there."""

    def __init__(self, truth: NDArray[Any], said: NDArray[Any]) -> None:
        self._truth, self._said = truth, said
        if truth.ndim == 2:
            self._hits = truth * said
            self._totals = tuple(part.sum(axis=0) for part in (self._hits, said, truth))
        else:
            self._is_right = truth == said
            labels = int(max(truth.max(), said.max())) + 1
            self._totals = tuple(
                np.bincount(part, minlength=labels).astype(np.float64) for part in (truth[self._is_right], said, truth)
            )

    def of(self, part: Part) -> tuple[float, Numbers]:
        """The sum of a part over the labels, and its change without each row [rows]."""
        hits, calls, support = self._totals
        whole = part(hits, calls, support)
        hit = part(_less(hits), _less(calls), _less(support)) - whole
        false_call = part(hits, _less(calls), support) - whole
        miss = part(hits, calls, _less(support)) - whole
        if self._truth.ndim == 2:
            change = self._hits @ (hit - false_call - miss) + self._said @ false_call + self._truth @ miss
        else:
            change = np.where(self._is_right, hit[self._truth], miss[self._truth] + false_call[self._said])
        return float(whole.sum()), np.asarray(change)


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
_SINGLE: Final = frozenset({"accuracy", *_SUMS})
_MULTI: Final = frozenset({"subset_accuracy", "hamming_loss", *_SUMS}) - {"balanced_accuracy"}
