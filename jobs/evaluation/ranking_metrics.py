"""Metrics of order: whether rows with a label stand above rows without it, and true labels of a row above others.

The definitions are scikit-learn's, and tests hold them equal. They are computed for all rows and labels together:
scikit-learn's checks of every call and its loop over rows take seconds a cell.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

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
    columns = zip(outcome.truth_nC.T, outcome.scores_nC.T, strict=True)
    return [_average_precision(truth_n, scores_n) for truth_n, scores_n in columns]


def roc_auc_label(outcome: Outcome) -> list[Value]:
    """Probability that a row with the label stands above one without it; equal scores count half."""
    rows, support_C = len(outcome.truth_nC), outcome.support_C.astype(np.float64)
    rank_sum_C = (rankdata(outcome.scores_nC, axis=0) * outcome.truth_nC).sum(axis=0)
    above_C = (
        rank_sum_C - support_C * (support_C + 1) / 2
    )  # pairs in the right order: the statistic of Mann and Whitney
    pairs_C = support_C * (rows - support_C)
    return [
        float(above / pairs) if pairs else NO_NEGATIVE if support else NO_POSITIVE
        for above, pairs, support in zip(above_C, pairs_C, support_C, strict=True)
    ]


def average_precision_macro(outcome: Outcome) -> Value:
    """Mean average precision of the labels that rows have."""
    return mean_of_defined(average_precision_label(outcome), NO_LABEL)


def roc_auc_macro(outcome: Outcome) -> Value:
    """Mean ROC-AUC, each label against all others, of the labels that have one."""
    return mean_of_defined(roc_auc_label(outcome), NO_TWO_CLASSES)


def label_ranking_average_precision(outcome: Outcome) -> Value:
    """Mean over a row's true labels of the share of true ones among those that stand as high; rows with a label."""
    counted_n = outcome.truth_nC.any(axis=1)
    truth_nC, scores_nC = outcome.truth_nC[counted_n], outcome.scores_nC[counted_n]
    if not len(truth_nC):
        return NO_LABEL
    sum_n = np.zeros(len(truth_nC))
    for truth_n, scores_n in zip(truth_nC.T, scores_nC.T, strict=True):
        as_high_nC = scores_nC >= scores_n[:, None]
        sum_n += truth_n * (as_high_nC & truth_nC).sum(axis=1) / as_high_nC.sum(axis=1)
    return float((sum_n / truth_nC.sum(axis=1)).mean())


def coverage_error(outcome: Outcome) -> Value:
    """How far down its labels one has to go to have all true ones of a row; mean over rows with a label."""
    counted_n = outcome.truth_nC.any(axis=1)
    truth_nC, scores_nC = outcome.truth_nC[counted_n], outcome.scores_nC[counted_n]
    if not len(truth_nC):
        return NO_LABEL
    lowest_n = np.where(truth_nC, scores_nC, np.inf).min(axis=1)
    return float((scores_nC >= lowest_n[:, None]).sum(axis=1).mean())


def ranking_loss(outcome: Outcome) -> Value:
    """Share of pairs of a true and another label of a row in the wrong order, or equal; rows that have both."""
    counted_n = outcome.truth_nC.any(axis=1) & ~outcome.truth_nC.all(axis=1)
    truth_nC, scores_nC = outcome.truth_nC[counted_n], outcome.scores_nC[counted_n]
    if not len(truth_nC):
        return NO_PAIR
    wrong_n = np.zeros(len(truth_nC))
    for truth_n, scores_n in zip(truth_nC.T, scores_nC.T, strict=True):
        wrong_n += truth_n * (~truth_nC & (scores_nC >= scores_n[:, None])).sum(axis=1)
    true_n = truth_nC.sum(axis=1)
    return float((wrong_n / (true_n * (outcome.num_labels - true_n))).mean())


def _average_precision(truth_n: np.ndarray, scores_n: np.ndarray) -> Value:
    support = truth_n.sum()
    if not support:
        return NO_POSITIVE
    order_n = np.argsort(-scores_n)
    # Rows of equal score come in together: the curve has a point behind the last of them.
    last_k = np.append(np.flatnonzero(np.diff(scores_n[order_n])), len(scores_n) - 1)
    hits_k = truth_n[order_n].cumsum()[last_k]
    return float((np.diff(hits_k, prepend=0) / support) @ (hits_k / (last_k + 1)))
