"""Counts of every threshold of a grid in one pass: hits and decisions of each label, rows that are all right.

A probability is above all thresholds up to its place in the grid, so counts at every threshold are sums from the
end. Shapes: n rows, C labels, G thresholds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

OBJECTIVES: Final = ("f1_macro", "f1_micro", "subset_accuracy")
"""What a threshold for all labels may maximise, and what a sensitivity curve shows."""


@dataclass(frozen=True, kw_only=True)
class SensitivityCurve:
    """What every threshold of a grid for all labels would give; None where undefined."""

    thresholds: tuple[float, ...]
    f1_macro: tuple[float | None, ...]
    f1_micro: tuple[float | None, ...]
    subset_accuracy: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Sweep:
    """Counts at every threshold G for every label C."""

    thresholds_G: np.ndarray
    hits_CG: np.ndarray
    """Rows that have the label and of which it is said."""
    said_CG: np.ndarray
    support_C: np.ndarray
    exact_G: np.ndarray
    """Rows whose labels are all said right."""
    rows: int

    @property
    def f1_CG(self) -> np.ndarray:
        """F1 of every label; NaN where the label stands neither in truth nor in prediction."""
        return divide(2.0 * self.hits_CG, self.said_CG + self.support_C[:, None])

    @property
    def f1_macro_G(self) -> np.ndarray:
        """Mean F1 of the labels that have one; NaN where none has."""
        f1_CG = self.f1_CG
        return divide(np.nansum(f1_CG, axis=0), (~np.isnan(f1_CG)).sum(axis=0))

    @property
    def f1_micro_G(self) -> np.ndarray:
        """F1 over all decisions together; NaN where nothing is true and nothing said."""
        return divide(2.0 * self.hits_CG.sum(axis=0), self.said_CG.sum(axis=0) + self.support_C.sum())

    @property
    def subset_accuracy_G(self) -> np.ndarray:
        """Share of rows whose labels are all said right."""
        return np.asarray(self.exact_G / self.rows)

    def objective_G(self, name: str) -> np.ndarray:
        """One of `OBJECTIVES` at every threshold."""
        return {
            "f1_macro": self.f1_macro_G,
            "f1_micro": self.f1_micro_G,
            "subset_accuracy": self.subset_accuracy_G,
        }[name]

    def curve(self) -> SensitivityCurve:
        """What every threshold for all labels would give."""
        return SensitivityCurve(
            thresholds=tuple(self.thresholds_G.tolist()),
            **{name: tuple(or_none(value) for value in self.objective_G(name).tolist()) for name in OBJECTIVES},
        )


def sweep(probabilities_nC: np.ndarray, truth_nC: np.ndarray, thresholds_G: np.ndarray) -> Sweep:
    """Count what every threshold gives.

    Args:
        probabilities_nC: between 0 and 1, at least one row.
        truth_nC: bool.
        thresholds_G: ascending.
    Returns:
        the counts.
    """
    num_labels, points = probabilities_nC.shape[1], len(thresholds_G)
    # How many thresholds a probability reaches, 0 to G: said at exactly the first so many of them.
    reached_nC = np.searchsorted(thresholds_G, probabilities_nC, side="right")
    place_nC = reached_nC + (points + 1) * np.arange(num_labels)
    size = num_labels * (points + 1)

    def said(places: np.ndarray) -> np.ndarray:
        counts_CG = np.bincount(places, minlength=size).reshape(num_labels, points + 1)
        return counts_CG[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]

    return Sweep(
        thresholds_G=thresholds_G,
        hits_CG=said(place_nC[truth_nC]),
        said_CG=said(place_nC.ravel()),
        support_C=truth_nC.sum(axis=0),
        exact_G=_exact_rows(reached_nC, truth_nC, points),
        rows=len(probabilities_nC),
    )


def _exact_rows(reached_nC: np.ndarray, truth_nC: np.ndarray, points: int) -> np.ndarray:
    """Rows all right at each threshold: those that every true label reaches and no other label does."""
    last_n = np.where(truth_nC, reached_nC, points).min(axis=1)
    first_n = np.where(truth_nC, 0, reached_nC).max(axis=1)
    some_n = first_n < last_n
    begin_G = np.bincount(first_n[some_n], minlength=points + 1)
    end_G = np.bincount(last_n[some_n], minlength=points + 1)
    return np.asarray((begin_G - end_G).cumsum()[:points])


def divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """A quotient; NaN where there is nothing to divide by."""
    return np.asarray(np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator > 0))


def or_none(value: float) -> float | None:
    """None instead of NaN."""
    return None if math.isnan(value) else value
