"""Random and degenerate predictions for the tests of metrics, thresholds and calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

SCORES = ("random", "ties", "constant", "huge", "perfect")
"""How logits are drawn."""

SINGLE_TRUTHS = ("random", "one_class", "class_absent")
MULTI_TRUTHS = ("random", "rare", "empty_label", "full_label", "unlabelled_rows", "no_positives", "all_positives")


@dataclass(frozen=True)
class Case:
    """Logits beside the truth, and how they were drawn."""

    logits: np.ndarray
    labels: np.ndarray
    scores: str
    truth: str

    @property
    def names(self) -> list[str]:
        return [f"label {index}" for index in range(self.logits.shape[1])]


def _logits(rng: np.random.Generator, kind: str, truth: np.ndarray) -> np.ndarray:
    shape = truth.shape
    drawn = rng.normal(size=shape) * 3
    if kind == "ties":
        drawn = np.round(drawn / 2)
    if kind == "constant":
        drawn = np.full(shape, float(rng.normal()))
    if kind == "huge":
        drawn = drawn * 1e30
    if kind == "perfect":
        drawn = np.where(truth, 1.0, -1.0) * rng.uniform(0.5, 8, shape)
    return drawn.astype(np.float32)


def single_case(rows: int, classes: int, seed: int, scores: str = "random", truth: str = "random") -> Case:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    if truth == "one_class":
        labels[:] = rng.integers(0, classes)
    if truth == "class_absent":
        labels = np.where(labels == classes - 1, 0, labels)
    return Case(_logits(rng, scores, np.eye(classes, dtype=bool)[labels]), labels.astype(np.int64), scores, truth)


def multi_case(rows: int, classes: int, seed: int, scores: str = "random", truth: str = "random") -> Case:
    rng = np.random.default_rng(seed)
    labels = rng.random((rows, classes)) < (0.1 if truth == "rare" else 0.4)
    if truth == "empty_label":
        labels[:, 0] = False
    if truth == "full_label":
        labels[:, 0] = True
    if truth == "unlabelled_rows":
        labels[: (rows + 1) // 2] = False
    if truth in ("no_positives", "all_positives"):
        labels[:] = truth == "all_positives"
    return Case(_logits(rng, scores, labels), labels.astype(np.uint8), scores, truth)


_ROWS, _SEEDS = st.integers(1, 40), st.integers(0, 100_000)

single_cases = st.builds(
    single_case, _ROWS, st.integers(2, 6), _SEEDS, st.sampled_from(SCORES), st.sampled_from(SINGLE_TRUTHS)
)
multi_cases = st.builds(
    multi_case, _ROWS, st.integers(1, 6), _SEEDS, st.sampled_from(SCORES), st.sampled_from(MULTI_TRUTHS)
)
