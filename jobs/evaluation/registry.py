"""Every metric with its task, direction, range, averaging, and the reasons for which it has no value.

Names that end in `_label` have one value a label. A metric at fitted thresholds or after calibration has the
name of the metric and one of `VARIANTS`, such as `f1_macro_at_label_thresholds`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from jobs.evaluation import decision_metrics as decision
from jobs.evaluation import probability_metrics as probability
from jobs.evaluation import ranking_metrics as ranking
from jobs.evaluation import undefined as why
from jobs.evaluation.outcome import MULTI_LABEL, SINGLE_LABEL, Outcome
from jobs.evaluation.reliability import ECE_BINS
from jobs.evaluation.undefined import Value

BOTH: Final = "both"

AT_GLOBAL_THRESHOLD: Final = "_at_global_threshold"
AT_LABEL_THRESHOLDS: Final = "_at_label_thresholds"

VARIANTS: Final = (
    AT_GLOBAL_THRESHOLD,
    AT_LABEL_THRESHOLDS,
    "_after_temperature",
    "_after_label_temperatures",
    "_after_isotonic",
)
"""What stands behind the name of a metric of fitted decisions or probabilities."""

FITTED: Final = {
    "best_global_threshold": "threshold for all labels, fitted on validation",
    "best_threshold": "threshold of a label, fitted on validation",
    "temperature": "what all logits are divided by, fitted on validation",
    "temperature_label": "what the logits of a label are divided by, fitted on validation",
}
"""Fitted settings that stand among the metrics of split validation."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What a number means: its task, direction, range and averaging, and how it is computed."""

    name: str
    task: str
    """single_label | multi_label | both."""
    higher_is_better: bool | None
    """None: neither end is good."""
    low: float
    high: float
    averaging: str
    """What the mean is over."""
    undefined_when: tuple[str, ...]
    """Every reason for which it has no value, besides a split without rows and logits that are not finite."""
    scores: Callable[[Outcome], list[Value]]
    """One value, or one a label."""
    per_label: bool = False

    def is_for(self, task: str) -> bool:
        """True when rows of this task have it."""
        return self.task in (BOTH, task)


def _metric(
    name: str,
    task: str,
    score: Callable[[Outcome], Value],
    averaging: str,
    *undefined_when: str,
    better: bool = True,
    low: float = 0.0,
    high: float = 1.0,
) -> Metric:
    return Metric(
        name=name,
        task=task,
        higher_is_better=better,
        low=low,
        high=high,
        averaging=averaging,
        undefined_when=undefined_when,
        scores=lambda outcome: [score(outcome)],
    )


def _label_metric(
    name: str,
    scores: Callable[[Outcome], list[Value]],
    *undefined_when: str,
    better: bool | None = True,
    low: float = 0.0,
    high: float = 1.0,
) -> Metric:
    return Metric(
        name=name,
        task=BOTH,
        higher_is_better=better,
        low=low,
        high=high,
        averaging="one value a label",
        undefined_when=undefined_when,
        scores=scores,
        per_label=True,
    )


_ROWS, _MACRO, _MICRO = "mean over rows", "mean over labels", "all rows and labels together"
_WEIGHTED, _SAMPLES = "mean over labels, weighted by their rows", "mean over rows of the labels of a row"
_INFINITE: Final = float("inf")

_ALL = (
    _metric("accuracy", SINGLE_LABEL, decision.accuracy, _ROWS),
    _metric("balanced_accuracy", SINGLE_LABEL, decision.recall_macro, "mean over the labels that rows have"),
    _metric("subset_accuracy", MULTI_LABEL, decision.accuracy, _ROWS),
    _metric("hamming_loss", MULTI_LABEL, decision.hamming_loss, _MICRO, better=False),
    _metric("f1_macro", BOTH, decision.f1_macro, _MACRO, why.NOTHING_AT_ALL),
    _metric("f1_micro", BOTH, decision.f1_micro, _MICRO, why.NOTHING_AT_ALL),
    _metric("f1_weighted", BOTH, decision.f1_weighted, _WEIGHTED, why.NO_LABEL),
    _metric("f1_samples", MULTI_LABEL, decision.f1_samples, _SAMPLES, why.NOTHING_AT_ALL),
    _metric("precision_macro", BOTH, decision.precision_macro, _MACRO, why.NOTHING_AT_ALL),
    _metric("precision_micro", BOTH, decision.precision_micro, _MICRO, why.NOTHING_SAID),
    _metric("precision_weighted", BOTH, decision.precision_weighted, _WEIGHTED, why.NO_LABEL),
    _metric("precision_samples", MULTI_LABEL, decision.precision_samples, _SAMPLES, why.NOTHING_AT_ALL),
    _metric("recall_macro", BOTH, decision.recall_macro, _MACRO, why.NO_LABEL),
    _metric("recall_micro", BOTH, decision.recall_micro, _MICRO, why.NO_LABEL),
    _metric("recall_weighted", BOTH, decision.recall_weighted, _WEIGHTED, why.NO_LABEL),
    _metric("recall_samples", MULTI_LABEL, decision.recall_samples, _SAMPLES, why.NO_LABEL),
    _metric("matthews", SINGLE_LABEL, decision.matthews, _MICRO, why.CONSTANT, low=-1.0),
    _metric("matthews_macro", MULTI_LABEL, decision.matthews_macro, _MACRO, why.NO_LABEL_DEFINED, low=-1.0),
    _metric("roc_auc_macro", BOTH, ranking.roc_auc_macro, _MACRO, why.NO_TWO_CLASSES),
    _metric("average_precision_macro", BOTH, ranking.average_precision_macro, _MACRO, why.NO_LABEL),
    _metric(
        "label_ranking_average_precision", MULTI_LABEL, ranking.label_ranking_average_precision, _ROWS, why.NO_LABEL
    ),
    _metric(
        "coverage_error", MULTI_LABEL, ranking.coverage_error, _ROWS, why.NO_LABEL, better=False, low=1, high=_INFINITE
    ),
    _metric("ranking_loss", MULTI_LABEL, ranking.ranking_loss, _ROWS, why.NO_PAIR, better=False),
    _metric(
        "loss", BOTH, probability.loss, "mean over rows (and labels)", why.INFINITE_LOSS, better=False, high=_INFINITE
    ),
    _metric("brier", SINGLE_LABEL, probability.brier, "mean over rows, sum over labels", better=False, high=2.0),
    _metric("brier_macro", BOTH, probability.brier_macro, _MACRO, better=False),
    _metric("ece", SINGLE_LABEL, probability.ece, f"most probable label, {ECE_BINS} bins", better=False),
    _metric("ece_macro", BOTH, probability.ece_macro, f"{_MACRO}, {ECE_BINS} bins each", better=False),
    _metric(
        "ece_micro", MULTI_LABEL, probability.ece_micro, f"all rows and labels together, {ECE_BINS} bins", better=False
    ),
    _label_metric("precision_label", decision.precision_label, why.NEVER_SAID),
    _label_metric("recall_label", decision.recall_label, why.NO_POSITIVE),
    _label_metric("f1_label", decision.f1_label, why.NEITHER),
    _label_metric("support_label", decision.support_label, better=None, high=_INFINITE),
    _label_metric("matthews_label", decision.matthews_label, why.CONSTANT, low=-1.0),
    _label_metric("roc_auc_label", ranking.roc_auc_label, why.NO_POSITIVE, why.NO_NEGATIVE),
    _label_metric("average_precision_label", ranking.average_precision_label, why.NO_POSITIVE),
    _label_metric("brier_label", probability.brier_label, better=False),
    _label_metric("ece_label", probability.ece_label, better=False),
)

METRICS: Final[dict[str, Metric]] = {metric.name: metric for metric in _ALL}

TRACKED: Final = {
    SINGLE_LABEL: (
        "accuracy",
        "balanced_accuracy",
        "f1_macro",
        "f1_micro",
        "f1_weighted",
        "precision_weighted",
        "recall_weighted",
        "loss",
    ),
    MULTI_LABEL: (
        "subset_accuracy",
        "hamming_loss",
        "f1_macro",
        "f1_micro",
        "f1_weighted",
        "f1_samples",
        "precision_weighted",
        "recall_weighted",
        "loss",
    ),
}
"""Cheap metrics, made at every validation; `recipe.select_on` may name them."""

THRESHOLDED: Final = (
    "subset_accuracy",
    "hamming_loss",
    *(f"{what}_{how}" for what in ("f1", "precision", "recall") for how in ("macro", "micro", "weighted", "samples")),
    *("precision_label", "recall_label", "f1_label"),
)
"""Multi-label metrics that are made again at fitted thresholds."""

CALIBRATED: Final = {
    SINGLE_LABEL: ("accuracy", "loss", "brier", "ece", "brier_macro", "ece_macro"),
    MULTI_LABEL: ("loss", "brier_macro", "ece_macro", "ece_micro"),
}
"""Metrics that are made again after calibration."""


def after(method: str) -> str:
    """What stands behind the name of a metric after a calibration method."""
    return f"_after_{method}"


def names_for(task: str) -> list[str]:
    """Names of all metrics that rows of a task have."""
    return [metric.name for metric in METRICS.values() if metric.is_for(task)]


def metric_behind(name: str) -> Metric:
    """The metric that a stored name speaks of, with or without one of `VARIANTS`.

    Raises:
        ValueError: no such metric; the message has the nearest names.
    """
    base = next((name.removesuffix(suffix) for suffix in VARIANTS if name.endswith(suffix)), name)
    if base not in METRICS:
        near = ", ".join(difflib.get_close_matches(base, METRICS)) or ", ".join(METRICS)
        raise ValueError(f"no metric is called {name!r}; nearest: {near}")
    return METRICS[base]
