"""Answer sheets of arms of known skill, analysed: for the tests of answers."""

from __future__ import annotations

import math
from pathlib import Path

from analysis.arms import Estimate, estimates
from analysis.comparing import Comparison, compare
from tests.analysis.answer_sheets import results_of, sheets_of

SIZES = (100, 200, 400, 800, 1600)


def analysed(
    folder: Path, skills: dict[tuple[str, str, int, int], float], **settings: int
) -> tuple[tuple[Estimate, ...], tuple[Comparison, ...]]:
    found = estimates(results_of(folder, sheets_of(skills, **settings)))  # type: ignore[arg-type]
    return found, compare(found)


def learning(strategy: str, start: float, slope: float) -> dict[tuple[str, str, int, int], float]:
    """Accuracy that grows by a slope with every doubling of the rows."""
    return {("m", strategy, 4, size): start + slope * math.log2(size / 100) for size in SIZES}
