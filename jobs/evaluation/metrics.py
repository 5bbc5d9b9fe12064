"""Metrics of a single-label classifier, computed by scikit-learn; undefined stays undefined."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax
from sklearn import metrics as sk

from jobs.spec import MetricValue

Score = Callable[[np.ndarray, np.ndarray, np.ndarray], float]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What a number means: its direction, its range and how it is computed from truth, prediction, logits."""

    name: str
    higher_is_better: bool
    low: float
    high: float
    score: Score


def _average(function: Callable[..., float], average: str) -> Score:
    return lambda truth, predicted, _logits: function(truth, predicted, average=average, zero_division=0.0)


def _loss(truth: np.ndarray, _predicted: np.ndarray, logits_nC: np.ndarray) -> float:
    log_p_nC = log_softmax(logits_nC.astype(np.float64), axis=1)
    return float(-log_p_nC[np.arange(len(truth)), truth].mean())


def _balanced_accuracy(truth: np.ndarray, predicted: np.ndarray, _logits: np.ndarray) -> float:
    return float(sk.recall_score(truth, predicted, average="macro", labels=np.unique(truth), zero_division=0.0))


_ALL = (
    Metric(
        name="accuracy",
        higher_is_better=True,
        low=0.0,
        high=1.0,
        score=lambda truth, predicted, _: float(sk.accuracy_score(truth, predicted)),
    ),
    Metric(name="balanced_accuracy", higher_is_better=True, low=0.0, high=1.0, score=_balanced_accuracy),
    *(
        Metric(name=f"f1_{a}", higher_is_better=True, low=0.0, high=1.0, score=_average(sk.f1_score, a))
        for a in ("macro", "micro", "weighted")
    ),
    Metric(
        name="precision_weighted",
        higher_is_better=True,
        low=0.0,
        high=1.0,
        score=_average(sk.precision_score, "weighted"),
    ),
    Metric(
        name="recall_weighted", higher_is_better=True, low=0.0, high=1.0, score=_average(sk.recall_score, "weighted")
    ),
    Metric(name="loss", higher_is_better=False, low=0.0, high=float("inf"), score=_loss),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}


def classification_metrics(logits_nC: np.ndarray, labels_n: np.ndarray, *, split: str) -> list[MetricValue]:
    """Every metric of one split.

    Args:
        logits_nC: float32, one row a text, one column a class.
        labels_n: int64 class indices.
        split: name of the split, kept on the values.
    Returns:
        one value a metric, undefined with a reason where it has none.
    """
    if len(labels_n) == 0:
        return [MetricValue(split=split, name=name, undefined="the split has no rows") for name in METRICS]
    predicted_n = logits_nC.argmax(axis=1)
    values = []
    for metric in _ALL:
        value = metric.score(labels_n, predicted_n, logits_nC)
        if np.isfinite(value):
            values.append(MetricValue(split=split, name=metric.name, value=float(value)))
        else:
            values.append(MetricValue(split=split, name=metric.name, undefined="not finite"))
    return values
