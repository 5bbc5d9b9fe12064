"""Numbers of one split: the tracked ones of every validation, and all of them for the test at the end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jobs.errors import Diverged
from jobs.evaluation import undefined as why
from jobs.evaluation.outcome import DEFAULT_THRESHOLD, Outcome, Thresholds, outcome_from_logits, task_of
from jobs.evaluation.registry import METRICS, TRACKED, names_for
from jobs.evaluation.undefined import Value
from jobs.spec import MetricValue

__all__ = [
    "METRICS",
    "classification_metrics",
    "compute",
    "full_metrics",
    "refuse_not_finite",
    "undefined_metrics",
]


def classification_metrics(logits_nC: np.ndarray, labels: np.ndarray, *, split: str) -> list[MetricValue]:
    """The tracked metrics of one split; multi-label rows are decided at 0.5.

    Args:
        logits_nC: float32, one row a text, one column a label.
        labels: int64 class indices [n] (single_label), or 0/1 [n, C] (multi_label).
        split: name of the split, kept on the values.
    Returns:
        one value a metric, undefined with a reason where it has none; all of them undefined where logits hold NaN.
    """
    names = TRACKED[task_of(labels)]
    if len(labels) == 0:
        return undefined_metrics(names, why.NO_ROWS, split=split)
    if np.isnan(logits_nC).any() or np.isposinf(logits_nC).any():
        return undefined_metrics(names, why.NOT_FINITE, split=split)
    return compute(outcome_from_logits(logits_nC, labels), names, split=split)


def full_metrics(
    logits_nC: np.ndarray,
    labels: np.ndarray,
    *,
    split: str,
    label_names: Sequence[str],
    thresholds: Thresholds = DEFAULT_THRESHOLD,
) -> list[MetricValue]:
    """Every metric of one split, those of single labels included.

    Args:
        logits_nC: finite, one row a text, one column a label.
        labels: int64 class indices [n] (single_label), or 0/1 [n, C] (multi_label).
        split: name of the split, kept on the values.
        label_names: names of the columns.
        thresholds: for multi-label decisions, one for all labels or one a label.
    Returns:
        one value a metric, and one a label for those that have it.
    Raises:
        Diverged: the logits are not finite.
    """
    names = names_for(task_of(labels))
    if len(labels) == 0:
        return undefined_metrics(names, why.NO_ROWS, split=split, label_names=label_names)
    refuse_not_finite(logits_nC, split)
    outcome = outcome_from_logits(logits_nC, labels, thresholds=thresholds)
    return compute(outcome, names, split=split, label_names=label_names)


def compute(
    outcome: Outcome, names: Sequence[str], *, split: str, label_names: Sequence[str] = (), suffix: str = ""
) -> list[MetricValue]:
    """Chosen metrics of an outcome.

    Args:
        outcome: truth, probabilities and decisions of at least one row.
        names: names in `METRICS`.
        split: kept on the values.
        label_names: names of the columns; needed for metrics with one value a label.
        suffix: one of `VARIANTS`, put behind the names.
    Returns:
        the values, in the order of the names.
    """
    values = []
    for name in names:
        metric = METRICS[name]
        columns = label_names if metric.per_label else ("",)
        for label, value in zip(columns, metric.scores(outcome), strict=True):
            values.append(_stored(value, split=split, name=name + suffix, label=label))
    return values


def undefined_metrics(
    names: Sequence[str], reason: str, *, split: str, label_names: Sequence[str] = (), suffix: str = ""
) -> list[MetricValue]:
    """Chosen metrics, all without a value for the same reason."""
    return [
        MetricValue(split=split, name=name + suffix, undefined=reason, label=label)
        for name in names
        for label in (label_names if METRICS[name].per_label else ("",))
    ]


def refuse_not_finite(logits_nC: np.ndarray, split: str) -> None:
    """Refuse logits from which no honest number follows.

    Raises:
        Diverged: NaN or infinity among them.
    """
    bad_n = ~np.isfinite(logits_nC).all(axis=1)
    if bad_n.any():
        raise Diverged(
            f"logits of {int(bad_n.sum())} of {len(bad_n)} {split} rows hold NaN or infinity "
            f"(first: row {int(bad_n.argmax())}): lower recipe.learning_rate"
        )


def _stored(value: Value, *, split: str, name: str, label: str) -> MetricValue:
    if isinstance(value, str):
        return MetricValue(split=split, name=name, undefined=value, label=label)
    if not np.isfinite(value):
        return MetricValue(split=split, name=name, undefined=why.NOT_FINITE, label=label)
    return MetricValue(split=split, name=name, value=value, label=label)
