"""Metrics of decisions: which labels were said of a row, against which it has.

F1 counts a label that stands in truth or prediction. A label that was never predicted has no precision of its
own; in an average it counts as 0 if rows have it, as in scikit-learn, because leaving it out would reward a
model for never saying rare labels. A label that no row has is left out of averages of recall, and of all
averages if it was not predicted either. The same holds for the labels of a row in averages over rows.
"""

from __future__ import annotations

import numpy as np

from jobs.evaluation.outcome import MULTI_LABEL, Outcome
from jobs.evaluation.undefined import (
    CONSTANT,
    NEITHER,
    NEVER_SAID,
    NO_LABEL,
    NO_LABEL_DEFINED,
    NO_POSITIVE,
    NOTHING_AT_ALL,
    NOTHING_SAID,
    Value,
    mean_of_defined,
    ratio,
    ratios,
)


def accuracy(outcome: Outcome) -> Value:
    """Share of rows whose labels were said exactly: accuracy, and subset accuracy of multi-label rows."""
    return float((outcome.truth_nC == outcome.predicted_nC).all(axis=1).mean())


def hamming_loss(outcome: Outcome) -> Value:
    """Share of wrong decisions over rows and labels."""
    return float((outcome.truth_nC != outcome.predicted_nC).mean())


def precision_label(outcome: Outcome) -> list[Value]:
    """Of the rows a label was said of, the share that has it."""
    return ratios(outcome.hits_C, outcome.said_C, NEVER_SAID)


def recall_label(outcome: Outcome) -> list[Value]:
    """Of the rows that have a label, the share it was said of."""
    return ratios(outcome.hits_C, outcome.support_C, NO_POSITIVE)


def f1_label(outcome: Outcome) -> list[Value]:
    """Harmonic mean of precision and recall."""
    return ratios(2 * outcome.hits_C, outcome.said_C + outcome.support_C, NEITHER)


def support_label(outcome: Outcome) -> list[Value]:
    """Rows that have a label; 0 is a count, not a missing number."""
    return [float(count) for count in outcome.support_C]


def matthews_label(outcome: Outcome) -> list[Value]:
    """Matthews correlation of each label against all others."""
    rows = float(len(outcome.truth_nC))
    hits_C, said_C, support_C = (c.astype(np.float64) for c in (outcome.hits_C, outcome.said_C, outcome.support_C))
    spread_C = np.sqrt(said_C * (rows - said_C) * support_C * (rows - support_C))
    return ratios(hits_C * rows - said_C * support_C, spread_C, CONSTANT)


def precision_macro(outcome: Outcome) -> Value:
    """Mean precision of the labels in truth or prediction; never predicted counts as 0."""
    present_C = (outcome.said_C + outcome.support_C) > 0
    shares_C = outcome.hits_C[present_C] / np.maximum(outcome.said_C[present_C], 1)
    return mean_of_defined(shares_C.tolist(), NOTHING_AT_ALL)


def recall_macro(outcome: Outcome) -> Value:
    """Mean recall of the labels that rows have: balanced accuracy where every row has one label."""
    return mean_of_defined(recall_label(outcome), NO_LABEL)


def f1_macro(outcome: Outcome) -> Value:
    """Mean F1 of the labels in truth or prediction."""
    return mean_of_defined(f1_label(outcome), NOTHING_AT_ALL)


def matthews_macro(outcome: Outcome) -> Value:
    """Mean Matthews correlation of the labels that have one."""
    return mean_of_defined(matthews_label(outcome), NO_LABEL_DEFINED)


def precision_micro(outcome: Outcome) -> Value:
    """Of all labels that were said, the share that is true."""
    return ratio(outcome.hits_C.sum(), outcome.said_C.sum(), NOTHING_SAID)


def recall_micro(outcome: Outcome) -> Value:
    """Of all labels that rows have, the share that was said."""
    return ratio(outcome.hits_C.sum(), outcome.support_C.sum(), NO_LABEL)


def f1_micro(outcome: Outcome) -> Value:
    """F1 over all decisions together."""
    return ratio(2 * outcome.hits_C.sum(), outcome.said_C.sum() + outcome.support_C.sum(), NOTHING_AT_ALL)


def precision_weighted(outcome: Outcome) -> Value:
    """Precision of the labels, weighted by their rows; never predicted counts as 0."""
    shares_C = outcome.hits_C / np.maximum(outcome.said_C, 1)
    return ratio(float(shares_C @ outcome.support_C), float(outcome.support_C.sum()), NO_LABEL)


def recall_weighted(outcome: Outcome) -> Value:
    """Recall of the labels, weighted by their rows: the same number as the micro average."""
    return recall_micro(outcome)


def f1_weighted(outcome: Outcome) -> Value:
    """F1 of the labels, weighted by their rows."""
    shares_C = 2 * outcome.hits_C / np.maximum(outcome.said_C + outcome.support_C, 1)
    return ratio(float(shares_C @ outcome.support_C), float(outcome.support_C.sum()), NO_LABEL)


def precision_samples(outcome: Outcome) -> Value:
    """Mean over rows of precision; a row of which nothing was said counts as 0 if it has a label."""
    hits_n, said_n, has_n = _row_counts(outcome)
    counted_n = (said_n + has_n) > 0
    return mean_of_defined((hits_n[counted_n] / np.maximum(said_n[counted_n], 1)).tolist(), NOTHING_AT_ALL)


def recall_samples(outcome: Outcome) -> Value:
    """Mean over the rows that have a label of the share that was said."""
    hits_n, _said_n, has_n = _row_counts(outcome)
    return mean_of_defined((hits_n[has_n > 0] / has_n[has_n > 0]).tolist(), NO_LABEL)


def f1_samples(outcome: Outcome) -> Value:
    """Mean F1 of the rows that have a label or of which one was said."""
    hits_n, said_n, has_n = _row_counts(outcome)
    counted_n = (said_n + has_n) > 0
    return mean_of_defined((2 * hits_n[counted_n] / (said_n + has_n)[counted_n]).tolist(), NOTHING_AT_ALL)


def matthews(outcome: Outcome) -> Value:
    """Matthews correlation over all labels of a single-label task.

    Source:
        Gorodkin, 2004: the correlation of the two assignments.
    """
    assert outcome.task != MULTI_LABEL  # noqa: S101  its rows have several labels: matthews_macro
    rows = float(len(outcome.truth_nC))
    hits = float(outcome.hits_C.sum())
    said_C, support_C = outcome.said_C.astype(np.float64), outcome.support_C.astype(np.float64)
    covariance = hits * rows - float(said_C @ support_C)
    spread = np.sqrt((rows**2 - float(said_C @ said_C)) * (rows**2 - float(support_C @ support_C)))
    return ratio(covariance, float(spread), CONSTANT)


def _row_counts(outcome: Outcome) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    hits_n = (outcome.truth_nC & outcome.predicted_nC).sum(axis=1)
    return hits_n, outcome.predicted_nC.sum(axis=1), outcome.truth_nC.sum(axis=1)
