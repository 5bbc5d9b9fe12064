"""Thresholds of multi-label decisions: one for all labels and one a label, fitted on validation rows only.

A label is said when its probability is at least its threshold. Ties are broken towards 0.5, the threshold of who
tunes nothing; of two equally near, the lower is taken.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from jobs.errors import UserError
from jobs.evaluation.outcome import DEFAULT_THRESHOLD
from jobs.evaluation.sweep import OBJECTIVES, SensitivityCurve, divide, or_none, sweep

MAX_POINTS: Final = 10_000
"""Thresholds in a grid, at most."""

_TIE: Final = 1e-12
"""Values this near are equal: their last bits depend on the order of a sum."""

NO_VALIDATION_POSITIVE: Final = "no validation row has the label"
NEVER_HIT: Final = "no threshold of the grid gives an F1 above 0"
NOTHING_TO_FIT: Final = "no threshold of the grid gives the objective a value above 0"


@dataclass(frozen=True, kw_only=True)
class ThresholdGrid:
    """Thresholds to try: from start to stop in steps, or a list."""

    start: float = 0.01
    stop: float = 0.99
    step: float = 0.01
    values: tuple[float, ...] | None = None
    """When given, it replaces start, stop and step."""

    def points(self) -> np.ndarray:
        """The thresholds, ascending, each once.

        Raises:
            UserError: empty, too many, or not between 0 and 1.
        """
        values = np.unique(np.array(self.values if self.values is not None else self._steps(), np.float64))
        if not len(values) or not np.isfinite(values).all() or values[0] <= 0 or values[-1] >= 1:
            raise UserError(f"thresholds must lie between 0 and 1, without the ends; found {self}")
        if len(values) > MAX_POINTS:
            raise UserError(f"{len(values)} thresholds in a grid; at most {MAX_POINTS}")
        return values

    def _steps(self) -> list[float]:
        if not (0 < self.step < math.inf and 0 < self.start <= self.stop < 1):
            raise UserError(f"thresholds need 0 < start <= stop < 1 and a step above 0; found {self}")
        count = int((self.stop - self.start) / self.step + 1e-9) + 1
        if count > MAX_POINTS:
            raise UserError(f"{count} thresholds in a grid; at most {MAX_POINTS}")
        return [round(self.start + index * self.step, 10) for index in range(count)]


@dataclass(frozen=True, kw_only=True)
class ThresholdSettings:
    """How thresholds are fitted."""

    grid: ThresholdGrid = field(default_factory=ThresholdGrid)
    objective: str = "f1_macro"
    """f1_macro | f1_micro | subset_accuracy: for all labels; the threshold of a label has its F1."""

    def __post_init__(self) -> None:
        """Refuse an unknown objective."""
        if self.objective not in OBJECTIVES:
            raise UserError(f"threshold objective {self.objective!r}: must be one of {', '.join(OBJECTIVES)}")


@dataclass(frozen=True, kw_only=True)
class LabelThreshold:
    """The threshold of one label."""

    label: str
    threshold: float
    f1: float | None
    """F1 of the label at its threshold on validation; None: undefined."""
    is_fitted: bool
    """False: the threshold for all labels stands in."""
    at_edge: bool
    """The best value is the first or last of the grid: a better one may lie outside."""
    reason: str | None = None
    """Why the threshold for all labels stands in."""


@dataclass(frozen=True, kw_only=True)
class FittedThresholds:
    """Thresholds fitted on validation rows."""

    settings: ThresholdSettings
    rows: int
    """Validation rows."""
    global_threshold: float
    global_value: float | None
    """The objective at the threshold for all labels on validation; None: undefined."""
    global_at_edge: bool
    global_reason: str | None
    """Why the threshold for all labels was left at 0.5; None: it was fitted."""
    labels: tuple[LabelThreshold, ...]
    curve: SensitivityCurve

    @property
    def label_thresholds_C(self) -> np.ndarray:
        """One threshold a label, float64."""
        return np.array([label.threshold for label in self.labels])

    def marks(self) -> tuple[str, ...]:
        """What a reader of tuned numbers must know."""
        marks = []
        if self.global_reason:
            marks.append(f"threshold for all labels left at {self.global_threshold:g}: {self.global_reason}")
        if self.global_at_edge:
            marks.append(f"threshold for all labels at the edge of its grid: {self.global_threshold:g}")
        edge = [label.label for label in self.labels if label.at_edge]
        if edge:
            marks.append(f"thresholds at the edge of the grid for {len(edge)} of {len(self.labels)} labels")
        replaced = [label.label for label in self.labels if not label.is_fitted]
        if replaced:
            marks.append(f"threshold for all labels used for {len(replaced)} of {len(self.labels)} labels")
        return tuple(marks)


def fit_thresholds(
    probabilities_nC: np.ndarray,
    truth_nC: np.ndarray,
    *,
    label_names: Sequence[str],
    settings: ThresholdSettings | None = None,
) -> FittedThresholds:
    """Find the best threshold for all labels and the best one of each label.

    Args:
        probabilities_nC: of the validation rows, at least one.
        truth_nC: 0/1.
        label_names: names of the columns.
        settings: grid and objective; None: the defaults.
    Returns:
        both, and the sensitivity curve they were read from.
    Raises:
        ValueError: no rows, NaN, or shapes that do not fit.
        UserError: the grid cannot be used.
    """
    settings = settings or ThresholdSettings()
    truth_nC = truth_nC.astype(bool)
    if not probabilities_nC.size or np.isnan(probabilities_nC).any():
        raise ValueError("thresholds need validation rows, and probabilities that are not NaN")
    if probabilities_nC.shape != truth_nC.shape or truth_nC.shape[1] != len(label_names):
        raise ValueError(f"probabilities {probabilities_nC.shape}, truth {truth_nC.shape}, {len(label_names)} names")
    counts = sweep(probabilities_nC, truth_nC, settings.grid.points())
    points_G, values_G, f1_CG = counts.thresholds_G, counts.objective_G(settings.objective), counts.f1_CG
    chosen = _best(values_G, points_G)
    threshold = DEFAULT_THRESHOLD if chosen is None else float(points_G[chosen])
    f1_C = _f1_at(probabilities_nC, truth_nC, threshold)
    labels = [
        _fit_label(name, f1_CG[c], points_G, int(counts.support_C[c]), fallback=threshold, fallback_f1=f1_C[c])
        for c, name in enumerate(label_names)
    ]
    return FittedThresholds(
        settings=settings,
        rows=len(truth_nC),
        global_threshold=threshold,
        global_value=None if chosen is None else float(values_G[chosen]),
        global_at_edge=_is_edge(chosen, len(values_G)),
        global_reason=NOTHING_TO_FIT if chosen is None else None,
        labels=tuple(labels),
        curve=counts.curve(),
    )


def _fit_label(
    name: str, f1_G: np.ndarray, thresholds_G: np.ndarray, support: int, *, fallback: float, fallback_f1: float | None
) -> LabelThreshold:
    chosen = _best(f1_G, thresholds_G)  # without positives no F1 is above 0
    if chosen is None:
        return LabelThreshold(
            label=name,
            threshold=fallback,
            f1=fallback_f1,
            is_fitted=False,
            at_edge=False,
            reason=NEVER_HIT if support else NO_VALIDATION_POSITIVE,
        )
    return LabelThreshold(
        label=name,
        threshold=float(thresholds_G[chosen]),
        f1=float(f1_G[chosen]),
        is_fitted=True,
        at_edge=_is_edge(chosen, len(f1_G)),
    )


def _best(values_G: np.ndarray, thresholds_G: np.ndarray) -> int | None:
    """Index of the best threshold, ties towards 0.5 and then down; None where no value is above 0."""
    if not (values_G > 0).any():  # NaN is not above 0
        return None
    tied_G = np.flatnonzero(values_G >= np.nanmax(values_G) - _TIE)
    # Rounded: 0.5 - 0.4 and 0.6 - 0.5 differ in their last bits.
    return int(tied_G[np.argmin(np.round(np.abs(thresholds_G[tied_G] - DEFAULT_THRESHOLD), 12))])


def _is_edge(chosen: int | None, points: int) -> bool:
    return chosen is not None and points > 1 and chosen in (0, points - 1)


def _f1_at(probabilities_nC: np.ndarray, truth_nC: np.ndarray, threshold: float) -> list[float | None]:
    said_nC = probabilities_nC >= threshold
    f1_C = divide(2.0 * (said_nC & truth_nC).sum(axis=0), said_nC.sum(axis=0) + truth_nC.sum(axis=0))
    return [or_none(value) for value in f1_C.tolist()]
