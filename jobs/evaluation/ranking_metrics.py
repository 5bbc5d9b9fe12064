"""Metrics of order: whether rows with a label stand above rows without it, and labels likewise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn import metrics as sk

from jobs.evaluation.outcome import Outcome
from jobs.evaluation.undefined import (
    NO_LABEL,
    NO_NEGATIVE,
    NO_PAIR,
    NO_POSITIVE,
    NO_TWO_CLASSES,
    Value,
    mean_of_defined,
)


def average_precision_label(outcome: Outcome) -> list[Value]:
    """Area under the precision-recall curve of each label, as steps (no interpolation)."""
    return [
        float(sk.average_precision_score(truth_n, scores_n)) if truth_n.any() else NO_POSITIVE
        for truth_n, scores_n in _columns(outcome)
    ]


def roc_auc_label(outcome: Outcome) -> list[Value]:
    """Probability that a row with the label stands above one without it; equal scores count half."""
    return [_roc_auc(truth_n, scores_n) for truth_n, scores_n in _columns(outcome)]


def average_precision_macro(outcome: Outcome) -> Value:
    """Mean average precision of the labels that rows have."""
    return mean_of_defined(average_precision_label(outcome), NO_LABEL)


def roc_auc_macro(outcome: Outcome) -> Value:
    """Mean ROC-AUC, each label against all others, of the labels that have one."""
    return mean_of_defined(roc_auc_label(outcome), NO_TWO_CLASSES)


def label_ranking_average_precision(outcome: Outcome) -> Value:
    """Mean over true labels of the share of true ones among those that stand as high; rows with a label.

    Label by label instead of row by row as in scikit-learn, which takes seconds for some thousand rows.
    """
    counted_n = _has_label(outcome)
    if not counted_n.any():
        return NO_LABEL
    truth_nC, scores_nC = outcome.truth_nC[counted_n], outcome.scores_nC[counted_n]
    sum_n = np.zeros(len(truth_nC))
    for truth_n, scores_n in zip(truth_nC.T, scores_nC.T, strict=True):
        as_high_nC = scores_nC >= scores_n[:, None]
        sum_n += truth_n * (as_high_nC & truth_nC).sum(axis=1) / as_high_nC.sum(axis=1)
    return float((sum_n / truth_nC.sum(axis=1)).mean())


def coverage_error(outcome: Outcome) -> Value:
    """How far down a row's labels one has to go to have all true ones; mean over rows with a label."""
    return _over_rows(outcome, _has_label(outcome), sk.coverage_error, NO_LABEL)


def ranking_loss(outcome: Outcome) -> Value:
    """Share of pairs of a true and a false label of a row in the wrong order; rows that have both."""
    counted_n = _has_label(outcome) & ~np.asarray(outcome.truth_nC.all(axis=1))
    return _over_rows(outcome, counted_n, sk.label_ranking_loss, NO_PAIR)


def _has_label(outcome: Outcome) -> np.ndarray:
    return np.asarray(outcome.truth_nC.any(axis=1))


def _columns(outcome: Outcome) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(zip(outcome.truth_nC.T, outcome.scores_nC.T, strict=True))


def _roc_auc(truth_n: np.ndarray, scores_n: np.ndarray) -> Value:
    if not truth_n.any():
        return NO_POSITIVE
    return NO_NEGATIVE if truth_n.all() else float(sk.roc_auc_score(truth_n, scores_n))


def _over_rows(outcome: Outcome, counted_n: np.ndarray, function: Callable[..., float], reason: str) -> Value:
    """A row without a label would count as perfect in scikit-learn: it says nothing, so it is left out."""
    if not counted_n.any():
        return reason
    if outcome.num_labels == 1:  # scikit-learn refuses one column; a true label alone stands first
        return 1.0
    return float(function(outcome.truth_nC[counted_n], outcome.scores_nC[counted_n]))
