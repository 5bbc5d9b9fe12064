"""What a model said about the rows of one split, beside the truth: logits, probabilities, decisions, counts.

Shapes: n rows, C labels. The truth decides the task: one class index a row is single_label, one 0/1 column a
label is multi_label. Probabilities are softmax or sigmoid of the logits; a label of a multi-label row is said
when its probability is at least its threshold, as in scikit-learn.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from scipy.special import expit, log_softmax, softmax

SINGLE_LABEL: Final = "single_label"
MULTI_LABEL: Final = "multi_label"

DEFAULT_THRESHOLD: Final = 0.5

Thresholds = float | np.ndarray
"""One for all labels, or one a label."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """Truth, probabilities and decisions of one split."""

    task: str
    truth_nC: np.ndarray
    """bool: the labels that each row has."""
    probabilities_nC: np.ndarray
    """float64."""
    predicted_nC: np.ndarray
    """bool: the labels that were said of each row."""
    logits_nC: np.ndarray | None = None
    """float64, where probabilities come from logits: losses and ranks from them lose nothing to rounding."""

    @property
    def num_labels(self) -> int:
        """Labels."""
        return int(self.truth_nC.shape[1])

    @cached_property
    def hits_C(self) -> np.ndarray:
        """Rows of each label of which it was said: true positives."""
        return np.asarray((self.truth_nC & self.predicted_nC).sum(axis=0))

    @cached_property
    def said_C(self) -> np.ndarray:
        """Rows of which each label was said."""
        return np.asarray(self.predicted_nC.sum(axis=0))

    @cached_property
    def support_C(self) -> np.ndarray:
        """Rows that have each label."""
        return np.asarray(self.truth_nC.sum(axis=0))

    @cached_property
    def scores_nC(self) -> np.ndarray:
        """What rows and labels are ranked by: finer than probabilities, which saturate."""
        if self.logits_nC is None:
            return self.probabilities_nC
        return self.logits_nC if self.task == MULTI_LABEL else np.asarray(log_softmax(self.logits_nC, axis=1))


def task_of(labels: np.ndarray) -> str:
    """The task that labels belong to: class indices [n] are single_label, a 0/1 matrix [n, C] is multi_label."""
    return MULTI_LABEL if labels.ndim == 2 else SINGLE_LABEL


def probabilities_of(logits_nC: np.ndarray, task: str) -> np.ndarray:
    """Probabilities from logits.

    Args:
        logits_nC: finite.
        task: single_label (softmax over the labels) or multi_label (sigmoid of each).
    Returns:
        float64 of the same shape.
    """
    logits_nC = logits_nC.astype(np.float64)
    if task == MULTI_LABEL:
        return np.asarray(expit(logits_nC))
    # Without columns or rows there is no largest logit to subtract.
    return np.asarray(softmax(logits_nC, axis=1)) if logits_nC.size else logits_nC


def decide(probabilities_nC: np.ndarray, task: str, thresholds: Thresholds = DEFAULT_THRESHOLD) -> np.ndarray:
    """The labels that are said of each row.

    Args:
        probabilities_nC: probabilities.
        task: single_label: the most probable label, the first of equals; multi_label: every label whose
            probability is at least its threshold, which may be none.
        thresholds: for multi_label, one for all labels or one a label.
    Returns:
        bool of the same shape.
    """
    if task == MULTI_LABEL:
        return np.asarray(probabilities_nC >= thresholds)
    return _one_hot(probabilities_nC.argmax(axis=1), probabilities_nC.shape[1])


def outcome_from_logits(
    logits_nC: np.ndarray, labels: np.ndarray, *, thresholds: Thresholds = DEFAULT_THRESHOLD
) -> Outcome:
    """Set logits beside the truth.

    Args:
        logits_nC: at least one row.
        labels: int class indices [n], or 0/1 [n, C].
        thresholds: for multi-label decisions.
    Returns:
        the outcome.
    Raises:
        ValueError: shapes do not fit, or a label is none.
    """
    logits_nC = logits_nC.astype(np.float64)
    task = task_of(labels)
    probabilities_nC = probabilities_of(logits_nC, task)
    # By logits where they decide alone: probabilities of huge ones are equal after rounding.
    predicted_nC = decide(probabilities_nC if task == MULTI_LABEL else logits_nC, task, thresholds)
    return Outcome(
        task=task,
        truth_nC=truth_of(labels, logits_nC.shape),
        probabilities_nC=probabilities_nC,
        predicted_nC=predicted_nC,
        logits_nC=logits_nC,
    )


def outcome_from_probabilities(
    probabilities_nC: np.ndarray, labels: np.ndarray, *, thresholds: Thresholds = DEFAULT_THRESHOLD
) -> Outcome:
    """Set calibrated probabilities beside the truth; as `outcome_from_logits`."""
    task = task_of(labels)
    return Outcome(
        task=task,
        truth_nC=truth_of(labels, probabilities_nC.shape),
        probabilities_nC=probabilities_nC.astype(np.float64),
        predicted_nC=decide(probabilities_nC, task, thresholds),
    )


def truth_of(labels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Truth as a bool matrix, checked against the shape of what was predicted.

    Raises:
        ValueError: shapes do not fit, or a label is none.
    """
    if task_of(labels) == MULTI_LABEL:
        if labels.shape != shape:
            raise ValueError(f"labels of shape {labels.shape} beside predictions of shape {shape}")
        if not np.isin(labels, (0, 1)).all():
            raise ValueError("multi-label truth must be 0 or 1")
        return labels.astype(bool)
    if len(labels) != shape[0]:
        raise ValueError(f"{len(labels)} labels beside predictions for {shape[0]} rows")
    if len(labels) and not 0 <= labels.min() <= labels.max() < shape[1]:
        raise ValueError(f"class indices from {labels.min()} to {labels.max()} beside {shape[1]} columns")
    return _one_hot(labels, shape[1])


def _one_hot(indices_n: np.ndarray, num_labels: int) -> np.ndarray:
    chosen_nC = np.zeros((len(indices_n), num_labels), bool)
    chosen_nC[np.arange(len(indices_n)), indices_n] = True
    return chosen_nC
