"""The numbers of a finished cell: every test metric, thresholds and calibration fitted on validation, before and after.

Nothing is fitted on test rows, unless a config declares them as validation rows (`dataset.validation: test`), which is
a mark of the cell. Thresholds belong to probabilities that are not calibrated, so the two can be
used alone or together without changing each other's numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from jobs.errors import UserError
from jobs.evaluation.calibration import Calibrator, fit_isotonic, fit_label_temperatures, fit_temperature
from jobs.evaluation.decisions import Decisions
from jobs.evaluation.metrics import (
    classification_metrics,
    compute,
    full_metrics,
    refuse_not_finite,
    undefined_metrics,
)
from jobs.evaluation.outcome import (
    MULTI_LABEL,
    Outcome,
    Thresholds,
    outcome_from_logits,
    outcome_from_probabilities,
    probabilities_of,
    task_of,
)
from jobs.evaluation.registry import AT_GLOBAL_THRESHOLD, AT_LABEL_THRESHOLDS, CALIBRATED, THRESHOLDED, after
from jobs.evaluation.reliability import Reliability, label_reliability, pooled_reliability, top_label_reliability
from jobs.evaluation.sweep import OBJECTIVES, sweep
from jobs.evaluation.thresholds import FittedThresholds, ThresholdGrid, ThresholdSettings, fit_thresholds
from jobs.evaluation.undefined import NO_ROWS
from jobs.spec import EvaluationSpec, MetricValue

Row = dict[str, Any]

METHODS: Final[dict[str, Callable[[np.ndarray, np.ndarray], Calibrator]]] = {
    "temperature": fit_temperature,
    "label_temperatures": fit_label_temperatures,
    "isotonic": fit_isotonic,
}
"""Calibration methods; label_temperatures is for multi-label rows alone."""

NO_VALIDATION: Final = "there are no validation rows to fit on"


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """What is fitted on validation rows."""

    thresholds: ThresholdSettings | None = field(default_factory=ThresholdSettings)
    """For multi-label cells; None: decisions at 0.5 only."""
    calibration: tuple[str, ...] = tuple(METHODS)

    def __post_init__(self) -> None:
        """Refuse an unknown method."""
        unknown = sorted(set(self.calibration) - set(METHODS))
        if unknown:
            raise UserError(f"calibration {', '.join(unknown)}: must be of {', '.join(METHODS)}")

    def methods_for(self, task: str) -> tuple[str, ...]:
        """The methods that rows of a task can have."""
        return tuple(m for m in self.calibration if task == MULTI_LABEL or m != "label_temperatures")


def settings_of(spec: EvaluationSpec) -> EvaluationSettings:
    """The settings that a cell declares.

    Raises:
        UserError: they contradict each other.
    """
    grid = ThresholdGrid(start=spec.threshold_start, stop=spec.threshold_stop, step=spec.threshold_step)
    thresholds = ThresholdSettings(grid=grid, objective=spec.threshold_objective) if spec.thresholds else None
    return EvaluationSettings(thresholds=thresholds, calibration=spec.calibration)


@dataclass(frozen=True, kw_only=True, eq=False)
class SplitLogits:
    """Logits and truth of one split."""

    logits_nC: np.ndarray
    labels: np.ndarray
    """int64 class indices [n] (single_label), or 0/1 [n, C] (multi_label)."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """All that is said of a finished cell."""

    metrics: tuple[MetricValue, ...]
    marks: tuple[str, ...]
    """Thresholds and temperatures that are no ordinary fits."""
    decisions: Decisions
    sensitivity: tuple[Row, ...]
    """split, threshold, f1_macro, f1_micro, subset_accuracy; None where undefined. Empty for single-label."""
    reliability: tuple[Row, ...]
    """method, label (empty: most probable label, or all labels together), low, high, rows, confidence, share."""


def evaluate_cell(
    *,
    label_names: Sequence[str],
    test: SplitLogits,
    validation: SplitLogits | None,
    settings: EvaluationSettings | None = None,
) -> Evaluation:
    """Make all numbers of a finished cell; the task is what the shape of the labels says.

    Args:
        label_names: names of the columns.
        test: of the chosen state.
        validation: of the same state; None, or without rows: nothing is fitted and what needs it is undefined.
        settings: what to fit; None: everything.
    Returns:
        metrics, marks, fitted parameters and tables.
    Raises:
        Diverged: logits are not finite.
    """
    settings = settings or EvaluationSettings()
    task, names = task_of(test.labels), tuple(label_names)
    if validation is not None and not len(validation.labels):
        validation = None
    metrics = full_metrics(test.logits_nC, test.labels, split="test", label_names=names)
    if validation is not None:
        refuse_not_finite(validation.logits_nC, "validation")
        metrics += classification_metrics(validation.logits_nC, validation.labels, split="validation")
    decisions = _fit(task, names, validation, settings)
    if task == MULTI_LABEL and settings.thresholds is not None:
        metrics += _threshold_metrics(decisions, test)
    for method in settings.methods_for(task):
        metrics += _calibration_metrics(decisions, method, test)
    marks = decisions.thresholds.marks() if decisions.thresholds else ()
    return Evaluation(
        metrics=tuple(metrics),
        marks=(*marks, *(mark for fitted in decisions.calibrators for mark in fitted.marks())),
        decisions=decisions,
        sensitivity=tuple(_sensitivity(decisions.thresholds, test)),
        reliability=tuple(_reliability(decisions, test)),
    )


def _fit(task: str, names: tuple[str, ...], validation: SplitLogits | None, settings: EvaluationSettings) -> Decisions:
    if validation is None:
        return Decisions(task=task, label_names=names)
    thresholds = None
    if task == MULTI_LABEL and settings.thresholds is not None:
        probabilities_nC = probabilities_of(validation.logits_nC, task)
        thresholds = fit_thresholds(
            probabilities_nC, validation.labels, label_names=names, settings=settings.thresholds
        )
    calibrators = [METHODS[name](validation.logits_nC, validation.labels) for name in settings.methods_for(task)]
    return Decisions(task=task, label_names=names, thresholds=thresholds, calibrators=tuple(calibrators))


def _threshold_metrics(decisions: Decisions, test: SplitLogits) -> list[MetricValue]:
    """Decisions on test rows at fitted thresholds, and the thresholds."""
    names, fitted = decisions.label_names, decisions.thresholds
    variants = (AT_GLOBAL_THRESHOLD, AT_LABEL_THRESHOLDS)
    if fitted is None or not len(test.labels):
        reason = NO_ROWS if fitted is not None else NO_VALIDATION
        values = [
            value
            for suffix in variants
            for value in undefined_metrics(THRESHOLDED, reason, split="test", label_names=names, suffix=suffix)
        ]
    else:
        chosen: tuple[Thresholds, ...] = (fitted.global_threshold, fitted.label_thresholds_C)
        values = [
            value
            for suffix, thresholds in zip(variants, chosen, strict=True)
            for value in compute(
                outcome_from_logits(test.logits_nC, test.labels, thresholds=thresholds),
                THRESHOLDED,
                split="test",
                label_names=names,
                suffix=suffix,
            )
        ]
    return values + _fitted_thresholds(fitted, names)


def _fitted_thresholds(fitted: FittedThresholds | None, names: tuple[str, ...]) -> list[MetricValue]:
    if fitted is None:
        return [_fitted("best_global_threshold", None), *(_fitted("best_threshold", None, name) for name in names)]
    return [
        _fitted("best_global_threshold", fitted.global_threshold),
        *(_fitted("best_threshold", label.threshold, label.label) for label in fitted.labels),
    ]


def _calibration_metrics(decisions: Decisions, method: str, test: SplitLogits) -> list[MetricValue]:
    """Probabilities of test rows after calibration, and the temperatures."""
    task, names = decisions.task, decisions.label_names
    calibrator = next((fitted for fitted in decisions.calibrators if fitted.method == method), None)
    if calibrator is None or not len(test.labels):
        reason = NO_ROWS if calibrator is not None else NO_VALIDATION
        values = undefined_metrics(CALIBRATED[task], reason, split="test", suffix=after(method))
    else:
        values = compute(_calibrated(calibrator, test), CALIBRATED[task], split="test", suffix=after(method))
    return values + _fitted_temperatures(calibrator, method, names)


def _fitted_temperatures(calibrator: Calibrator | None, method: str, names: tuple[str, ...]) -> list[MetricValue]:
    """The temperatures of a method that has them."""
    temperatures = [fit.temperature for fit in calibrator.temperatures] if calibrator else None
    if method == "temperature":
        return [_fitted("temperature", temperatures[0] if temperatures else None)]
    if method == "label_temperatures":
        return [
            _fitted("temperature_label", temperatures[index] if temperatures else None, name)
            for index, name in enumerate(names)
        ]
    return []


def _calibrated(calibrator: Calibrator, test: SplitLogits) -> Outcome:
    if calibrator.temperatures:
        return outcome_from_logits(calibrator.scaled(test.logits_nC), test.labels)
    return outcome_from_probabilities(calibrator.apply(test.logits_nC), test.labels)


def _fitted(name: str, value: float | None, label: str = "") -> MetricValue:
    if value is None:
        return MetricValue(split="validation", name=name, undefined=NO_VALIDATION, label=label)
    return MetricValue(split="validation", name=name, value=value, label=label)


def _sensitivity(fitted: FittedThresholds | None, test: SplitLogits) -> list[Row]:
    """The curve the thresholds were read from, and the same on test rows, to see how well it carries over."""
    if fitted is None:
        return []
    curves = {"validation": fitted.curve}
    if len(test.labels):
        probabilities_nC = probabilities_of(test.logits_nC, MULTI_LABEL)
        curves["test"] = sweep(probabilities_nC, test.labels.astype(bool), fitted.settings.grid.points()).curve()
    return [
        {"split": split, "threshold": threshold, **{name: getattr(curve, name)[index] for name in OBJECTIVES}}
        for split, curve in curves.items()
        for index, threshold in enumerate(curve.thresholds)
    ]


def _reliability(decisions: Decisions, test: SplitLogits) -> list[Row]:
    if not len(test.labels):
        return []
    outcomes = {"none": outcome_from_logits(test.logits_nC, test.labels)}
    outcomes |= {fitted.method: _calibrated(fitted, test) for fitted in decisions.calibrators}
    rows = []
    for method, outcome in outcomes.items():
        overall = pooled_reliability(outcome) if decisions.task == MULTI_LABEL else top_label_reliability(outcome)
        rows += _bins(overall, method, "")
        for name, diagram in zip(decisions.label_names, label_reliability(outcome), strict=True):
            rows += _bins(diagram, method, name)
    return rows


def _bins(diagram: Reliability, method: str, label: str) -> list[Row]:
    """One row a bin that holds a prediction."""
    return [
        {
            "method": method,
            "label": label,
            "low": float(diagram.edges[index]),
            "high": float(diagram.edges[index + 1]),
            "rows": int(diagram.rows_B[index]),
            "confidence": float(diagram.confidence_B[index]),
            "share": float(diagram.share_B[index]),
        }
        for index in np.flatnonzero(diagram.rows_B)
    ]
