"""How far probabilities agree with what happens: bins of a reliability diagram and their error (ECE)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from jobs.evaluation.outcome import Outcome

ECE_BINS: Final = 15
"""Bins of equal width over [0, 1]; each holds its upper end, the first one 0 as well."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Reliability:
    """A reliability diagram: shares are NaN in bins without a prediction."""

    edges: np.ndarray
    """float64 [bins + 1]."""
    rows_B: np.ndarray
    """Predictions in each bin."""
    confidence_B: np.ndarray
    """Mean probability that was said."""
    share_B: np.ndarray
    """Share that came true."""

    @property
    def error(self) -> float:
        """Expected calibration error: mean over predictions of how far their bin is off."""
        filled_B = self.rows_B > 0
        gaps_B = np.abs(self.share_B - self.confidence_B)[filled_B]
        return float(gaps_B @ self.rows_B[filled_B] / self.rows_B.sum())


def reliability(probabilities_n: np.ndarray, came_true_n: np.ndarray, *, bins: int = ECE_BINS) -> Reliability:
    """Sort predictions into bins of their probability.

    Args:
        probabilities_n: between 0 and 1, at least one.
        came_true_n: bool.
        bins: bins of equal width.
    Returns:
        the diagram.
    """
    edges = np.linspace(0.0, 1.0, bins + 1)
    bin_n = np.clip(np.searchsorted(edges, probabilities_n, side="left") - 1, 0, bins - 1)
    rows_B = np.bincount(bin_n, minlength=bins)
    said_B = np.bincount(bin_n, weights=probabilities_n, minlength=bins)
    true_B = np.bincount(bin_n, weights=came_true_n.astype(np.float64), minlength=bins)
    empty_B = np.full(bins, np.nan)
    return Reliability(
        edges=edges,
        rows_B=rows_B,
        confidence_B=np.divide(said_B, rows_B, out=empty_B.copy(), where=rows_B > 0),
        share_B=np.divide(true_B, rows_B, out=empty_B, where=rows_B > 0),
    )


def top_label_reliability(outcome: Outcome, *, bins: int = ECE_BINS) -> Reliability:
    """Diagram of the most probable label of each single-label row: its probability, and whether it is right.

    Source:
        Guo et al., 2017, On calibration of modern neural networks.
    """
    said_n = outcome.predicted_nC
    right_n = (outcome.truth_nC & said_n).any(axis=1)
    return reliability(outcome.probabilities_nC[said_n], right_n, bins=bins)


def label_reliability(outcome: Outcome, *, bins: int = ECE_BINS) -> list[Reliability]:
    """Diagram of each label: the probability of having it, and the share that has it; no decision is involved."""
    columns = zip(outcome.probabilities_nC.T, outcome.truth_nC.T, strict=True)
    return [reliability(probabilities_n, truth_n, bins=bins) for probabilities_n, truth_n in columns]


def pooled_reliability(outcome: Outcome, *, bins: int = ECE_BINS) -> Reliability:
    """Diagram of all rows and labels together."""
    return reliability(outcome.probabilities_nC.ravel(), outcome.truth_nC.ravel(), bins=bins)
