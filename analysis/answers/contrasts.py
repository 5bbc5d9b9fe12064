"""How much higher one estimate is than another, and what "shown" means where many are looked at together."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from analysis.arms import Covers, Estimate
from analysis.comparing import ALPHA
from analysis.crossed import Parts, difference_parts, interval, share_interval, with_hidden
from analysis.tails import student_t

SIZE_AXIS: Final = "num_samples"
LABELS_AXIS: Final = "num_labels"


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """How much higher one estimate is than another, with its interval."""

    difference: float
    low: float | None
    high: float | None
    is_paired: bool
    """On the same seeds and test rows; otherwise the two intervals are combined, as if nothing were shared."""

    @property
    def is_shown(self) -> bool:
        """The interval leaves out zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def contrast(one: Estimate, other: Estimate, *, level: float = 0.95) -> Contrast | None:
    """How much higher the second estimate is than the first; None when either has no mean."""
    return contrasts(one, other, (level,))[0]


def contrasts(one: Estimate, other: Estimate, levels: Sequence[float]) -> tuple[Contrast | None, ...]:
    """The same difference with an interval for each of some levels."""
    if one.mean is None or other.mean is None:
        return (None,) * len(levels)
    parts = _paired(one, other)
    if parts is None:
        return tuple(combined(one, other, level=level) for level in levels)
    found = []
    for level in levels:
        low, high = interval(parts, level=level)
        found.append(
            Contrast(
                difference=float(parts.mean), low=max(-1.0, float(low)), high=min(1.0, float(high)), is_paired=True
            )
        )
    return tuple(found)


def _paired(one: Estimate, other: Estimate) -> Parts | None:
    """Parts of the difference on the same seeds and rows; None where they are not the same ones."""
    first, second = one.answers, other.answers
    if first is None or second is None or first.seeds != second.seeds:
        return None
    if first.row_ids is not second.row_ids and first.row_ids != second.row_ids:
        return None
    hidden = first.hidden_on(first.seeds) + second.hidden_on(second.seeds)
    return with_hidden(difference_parts(second.scores.astype(np.float32) - first.scores), hidden)


def combined(one: Estimate, other: Estimate, *, level: float = 0.95) -> Contrast | None:
    """The difference of two estimates that share nothing, from their intervals (Zou and Donner 2008: MOVER)."""
    if one.mean is None or other.mean is None:
        return None
    difference, ends, other_ends = other.mean - one.mean, _ends(one, level), _ends(other, level)
    if ends is None or other_ends is None:
        return Contrast(difference=difference, low=None, high=None, is_paired=False)
    down = math.hypot(other.mean - other_ends[0], ends[1] - one.mean)
    up = math.hypot(other_ends[1] - other.mean, one.mean - ends[0])
    return Contrast(difference=difference, low=difference - down, high=difference + up, is_paired=False)


def _ends(one: Estimate, level: float) -> tuple[float, float] | None:
    """The interval of an estimate at a level that may be another than its own."""
    if one.low is None or one.high is None or one.mean is None:
        return None
    if level == one.level:
        return one.low, one.high
    if one.parts is not None:
        low, high = share_interval(one.parts, level=level)
        return float(low), float(high)
    if one.covers is Covers.SEEDS:
        freedom = len(one.seeds) - 1
        wider = float(student_t((1 - level) / 2, freedom) / student_t((1 - one.level) / 2, freedom))
    else:
        wider = statistics.NormalDist().inv_cdf((1 + level) / 2) / statistics.NormalDist().inv_cdf((1 + one.level) / 2)
    return one.mean - wider * (one.mean - one.low), one.mean + wider * (one.high - one.mean)


def shared_level(number: int) -> float:
    """The level of each of some intervals, so that all of them together are wrong in one report of twenty at most.

    Args:
        number: how many intervals are looked at for something to be shown (Bonferroni).
    Returns:
        a coverage, .95 for one interval.
    """
    return 1.0 - ALPHA / max(1, number)


def along(found: Sequence[Estimate], axis: str, *, least: int = 2) -> list[list[Estimate]]:
    """Estimates with a mean that differ in one number of the column only, ascending.

    Args:
        found: estimates of one metric.
        axis: num_labels or num_samples.
        least: how many levels there must be.
    Returns:
        one series for each arm and rest of the column.
    """
    groups: dict[Any, list[Estimate]] = defaultdict(list)
    for one in found:
        if one.mean is not None and isinstance(one.column[axis], int):
            groups[one.arm.key, one.column.without(axis).key].append(one)
    return [sorted(series, key=lambda one: int(one.column[axis])) for series in groups.values() if len(series) >= least]
