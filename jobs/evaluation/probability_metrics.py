"""Metrics of probabilities: log loss, Brier scores, calibration errors."""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax

from jobs.evaluation.outcome import MULTI_LABEL, Outcome
from jobs.evaluation.reliability import label_reliability, pooled_reliability, top_label_reliability
from jobs.evaluation.undefined import INFINITE_LOSS, Value


def loss(outcome: Outcome) -> Value:
    """Log loss: mean cross-entropy of the rows, or mean binary cross-entropy over rows and labels."""
    with np.errstate(divide="ignore"):  # the logarithm of 0 is what INFINITE_LOSS says
        losses = _multi_label_losses(outcome) if outcome.task == MULTI_LABEL else _single_label_losses(outcome)
    value = float(losses.mean())
    return value if np.isfinite(value) else INFINITE_LOSS


def brier(outcome: Outcome) -> Value:
    """Mean over rows of the squared distance between probabilities and truth, summed over labels: 0 to 2."""
    return float(((outcome.probabilities_nC - outcome.truth_nC) ** 2).sum(axis=1).mean())


def brier_label(outcome: Outcome) -> list[Value]:
    """Mean squared distance between the probability of each label and whether a row has it: 0 to 1."""
    return [float(value) for value in ((outcome.probabilities_nC - outcome.truth_nC) ** 2).mean(axis=0)]


def brier_macro(outcome: Outcome) -> Value:
    """Mean of the labels' Brier scores."""
    return float(((outcome.probabilities_nC - outcome.truth_nC) ** 2).mean())


def ece(outcome: Outcome) -> Value:
    """Expected calibration error of the most probable label."""
    return top_label_reliability(outcome).error


def ece_label(outcome: Outcome) -> list[Value]:
    """Expected calibration error of each label's own probability."""
    return [diagram.error for diagram in label_reliability(outcome)]


def ece_macro(outcome: Outcome) -> Value:
    """Mean of the labels' calibration errors."""
    return float(np.mean([diagram.error for diagram in label_reliability(outcome)]))


def ece_micro(outcome: Outcome) -> Value:
    """Expected calibration error of all rows and labels together."""
    return pooled_reliability(outcome).error


def _single_label_losses(outcome: Outcome) -> np.ndarray:
    if outcome.logits_nC is None:
        return np.asarray(-np.log(outcome.probabilities_nC[outcome.truth_nC]))
    return np.asarray(-log_softmax(outcome.logits_nC, axis=1)[outcome.truth_nC])


def _multi_label_losses(outcome: Outcome) -> np.ndarray:
    signed_nC = np.where(outcome.truth_nC, 1.0, -1.0)
    if outcome.logits_nC is None:
        return np.asarray(-np.log(np.where(outcome.truth_nC, outcome.probabilities_nC, 1.0 - outcome.probabilities_nC)))
    return np.asarray(np.logaddexp(0.0, -signed_nC * outcome.logits_nC))
