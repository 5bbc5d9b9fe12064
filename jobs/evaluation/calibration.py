"""Calibrated probabilities: temperatures and isotonic curves, fitted on validation rows only, plain JSON.

A temperature divides logits before softmax or sigmoid: one for all, or one a label of multi-label rows. It
minimises the log loss of the validation rows, which is convex in 1/T, so the derivative has one zero and is
solved for it. An isotonic curve maps the probability of a label to the share that has it (scikit-learn);
single-label rows are mapped label by label and made to add up to 1 again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, softmax
from sklearn.isotonic import IsotonicRegression

from jobs.evaluation.outcome import MULTI_LABEL, probabilities_of, task_of, truth_of
from jobs.spec import from_json, to_json

LOWEST_TEMPERATURE: Final = 0.01
HIGHEST_TEMPERATURE: Final = 100.0

AT_LOWEST: Final = "the validation loss still falls at the lowest temperature: its rows are told apart without error"
AT_HIGHEST: Final = "the validation loss still falls at the highest temperature: logits say less than guessing"
FLAT: Final = "logits say nothing of any label: no temperature changes the loss"
SATURATED: Final = "logits are so large that no temperature of the range changes the loss"
ONE_CLASS_ONLY: Final = "validation rows all have the label, or none has it"


@dataclass(frozen=True, kw_only=True)
class Temperature:
    """What logits are divided by."""

    temperature: float
    reason: str | None = None
    """Why it was not fitted, or stands at an end of its range; None: an ordinary fit."""


@dataclass(frozen=True, kw_only=True)
class IsotonicCurve:
    """A rising line through points; level outside of them. No points: probabilities stay as they are."""

    said: tuple[float, ...] = ()
    observed: tuple[float, ...] = ()
    reason: str | None = None
    """Why there are no points."""


@dataclass(frozen=True, kw_only=True)
class Calibrator:
    """Fitted parameters of one method; `apply` turns logits into probabilities."""

    method: str
    """temperature | label_temperatures | isotonic."""
    task: str
    rows: int
    """Validation rows."""
    temperatures: tuple[Temperature, ...] = ()
    """One, or one a label."""
    curves: tuple[IsotonicCurve, ...] = ()
    """One a label."""

    def apply(self, logits_nC: np.ndarray) -> np.ndarray:
        """Calibrated probabilities, float64, of finite logits."""
        if self.temperatures:
            return probabilities_of(self.scaled(logits_nC), self.task)
        return self._isotonic(probabilities_of(logits_nC, self.task))

    def scaled(self, logits_nC: np.ndarray) -> np.ndarray:
        """Logits over temperature: losses from them lose nothing to rounding."""
        return np.asarray(logits_nC.astype(np.float64) / np.array([fit.temperature for fit in self.temperatures]))

    def marks(self) -> tuple[str, ...]:
        """Fits that were not ordinary, in one line."""
        fits = [fit.reason for fit in self.temperatures] + [curve.reason for curve in self.curves]
        reasons = [reason for reason in fits if reason]
        if not reasons:
            return ()
        where = "" if len(fits) == 1 else f" for {len(reasons)} of {len(fits)} labels"
        return (f"{self.method.replace('_', ' ')}{where}: {'; '.join(sorted(set(reasons)))}",)

    def to_json(self) -> Any:
        """Plain JSON values."""
        return to_json(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Calibrator:
        """Rebuild from `to_json`.

        Raises:
            ValueError: unknown or missing field.
        """
        return from_json(Calibrator, data)

    def _isotonic(self, probabilities_nC: np.ndarray) -> np.ndarray:
        mapped_nC = probabilities_nC.copy()
        for column, curve in enumerate(self.curves):
            if curve.said:
                mapped_nC[:, column] = np.interp(probabilities_nC[:, column], curve.said, curve.observed)
        if self.task == MULTI_LABEL:
            return mapped_nC
        total_n = mapped_nC.sum(axis=1, keepdims=True)
        # A row that every label refuses: all are equally likely, as in scikit-learn.
        equal_nC = np.full(mapped_nC.shape, 1.0 / mapped_nC.shape[1])
        return np.asarray(np.divide(mapped_nC, total_n, out=equal_nC, where=total_n > 0))


def fit_temperature(logits_nC: np.ndarray, labels: np.ndarray) -> Calibrator:
    """Fit one temperature for all logits.

    Args:
        logits_nC: of the validation rows, finite, at least one.
        labels: int class indices [n], or 0/1 [n, C].
    Returns:
        the calibrator; its reason says when the fit is not an ordinary one.
    Raises:
        ValueError: no rows, or logits that are not finite.
    """
    logits_nC, task = _checked(logits_nC), task_of(labels)
    truth_nC = truth_of(labels, logits_nC.shape)
    if task == MULTI_LABEL:
        fit = _fit_binary(logits_nC.ravel(), truth_nC.ravel())
    else:
        fit = _fit_softmax(logits_nC, truth_nC)
    return Calibrator(method="temperature", task=task, rows=len(logits_nC), temperatures=(fit,))


def fit_label_temperatures(logits_nC: np.ndarray, labels_nC: np.ndarray) -> Calibrator:
    """Fit one temperature a label of multi-label rows.

    Args:
        logits_nC: of the validation rows, finite, at least one.
        labels_nC: 0/1.
    Returns:
        the calibrator; a label that all rows have, or none, gets the temperature for all labels and a reason.
    Raises:
        ValueError: no rows, logits that are not finite, or single-label truth.
    """
    if task_of(labels_nC) != MULTI_LABEL:
        raise ValueError("a temperature a label needs multi-label truth: softmax compares labels on one scale")
    logits_nC = _checked(logits_nC)
    truth_nC = truth_of(labels_nC, logits_nC.shape)
    shared = fit_temperature(logits_nC, labels_nC).temperatures[0].temperature
    fits = [
        Temperature(temperature=shared, reason=ONE_CLASS_ONLY)
        if truth_n.all() or not truth_n.any()
        else _fit_binary(logits_n, truth_n)
        for logits_n, truth_n in zip(logits_nC.T, truth_nC.T, strict=True)
    ]
    return Calibrator(method="label_temperatures", task=MULTI_LABEL, rows=len(logits_nC), temperatures=tuple(fits))


def fit_isotonic(logits_nC: np.ndarray, labels: np.ndarray) -> Calibrator:
    """Fit one rising curve a label, each label against all others.

    Args:
        logits_nC: of the validation rows, finite, at least one.
        labels: int class indices [n], or 0/1 [n, C].
    Returns:
        the calibrator; a label that all rows have, or none, keeps its probabilities, with a reason.
    Raises:
        ValueError: no rows, or logits that are not finite.
    """
    logits_nC, task = _checked(logits_nC), task_of(labels)
    truth_nC = truth_of(labels, logits_nC.shape)
    columns = zip(probabilities_of(logits_nC, task).T, truth_nC.T, strict=True)
    return Calibrator(
        method="isotonic",
        task=task,
        rows=len(logits_nC),
        curves=tuple(_fit_curve(probabilities_n, truth_n) for probabilities_n, truth_n in columns),
    )


def _checked(logits_nC: np.ndarray) -> np.ndarray:
    if not logits_nC.size or not np.isfinite(logits_nC).all():
        raise ValueError("calibration needs validation rows, and logits that are finite")
    return logits_nC.astype(np.float64)


def _fit_curve(probabilities_n: np.ndarray, truth_n: np.ndarray) -> IsotonicCurve:
    if truth_n.all() or not truth_n.any():
        return IsotonicCurve(reason=ONE_CLASS_ONLY)
    model = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    model.fit(probabilities_n, truth_n.astype(np.float64))
    return IsotonicCurve(said=_plain(model.X_thresholds_), observed=_plain(model.y_thresholds_))


def _plain(values: Sequence[float] | np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _fit_softmax(logits_nC: np.ndarray, truth_nC: np.ndarray) -> Temperature:
    # Loss of a row: log sum exp(d / T) with d the logits less the one of the truth.
    against_nC = logits_nC - logits_nC[truth_nC][:, None]
    return _fit(
        lambda inverse: float((softmax(inverse * against_nC, axis=1) * against_nC).sum(axis=1).mean()),
        is_flat=not against_nC.any(),
    )


def _fit_binary(logits_n: np.ndarray, truth_n: np.ndarray) -> Temperature:
    # Loss of a row: log(1 + exp(d / T)) with d the logit against the truth.
    against_n = np.where(truth_n, -logits_n, logits_n)
    return _fit(lambda inverse: float((expit(inverse * against_n) * against_n).mean()), is_flat=not against_n.any())


def _fit(slope: Callable[[float], float], *, is_flat: bool) -> Temperature:
    """Solve slope(1/T) = 0 within the range of temperatures; the slope of the loss never falls with 1/T."""
    if is_flat:
        return Temperature(temperature=1.0, reason=FLAT)
    at_highest, at_lowest = slope(1.0 / HIGHEST_TEMPERATURE), slope(1.0 / LOWEST_TEMPERATURE)
    if at_highest == 0.0 == at_lowest:
        return Temperature(temperature=1.0, reason=SATURATED)
    if at_highest >= 0.0:
        return Temperature(temperature=HIGHEST_TEMPERATURE, reason=AT_HIGHEST)
    if at_lowest <= 0.0:
        return Temperature(temperature=LOWEST_TEMPERATURE, reason=AT_LOWEST)
    log_range = np.log(1.0 / HIGHEST_TEMPERATURE), np.log(1.0 / LOWEST_TEMPERATURE)
    log_inverse = brentq(lambda log: slope(float(np.exp(log))), *log_range, xtol=1e-12)
    return Temperature(temperature=float(np.exp(-log_inverse)))
