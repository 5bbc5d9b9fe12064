"""How much higher one estimate is than another, along an axis or in one column, and how that is worded."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from analysis.arms import Estimate
from analysis.comparing import pair_up
from analysis.crossed import interval

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
    if one.mean is None or other.mean is None:
        return None
    if one.answers is not None and other.answers is not None and one.answers.row_ids == other.answers.row_ids:
        pair = pair_up(other.answers, one.answers)
        if pair is not None and pair.parts.seeds == max(len(one.seeds), len(other.seeds)):
            low, high = interval(pair.parts, level=level)
            return Contrast(
                difference=float(pair.parts.mean), low=max(-1.0, float(low)), high=min(1.0, float(high)), is_paired=True
            )
    return combined(one, other)


def combined(one: Estimate, other: Estimate) -> Contrast | None:
    """The difference of two estimates that share nothing, from their intervals (Zou and Donner 2008: MOVER)."""
    if one.mean is None or other.mean is None:
        return None
    difference = other.mean - one.mean
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return Contrast(difference=difference, low=None, high=None, is_paired=False)
    down = math.hypot(other.mean - other.low, one.high - one.mean)
    up = math.hypot(other.high - other.mean, one.mean - one.low)
    return Contrast(difference=difference, low=difference - down, high=difference + up, is_paired=False)


def along(found: Sequence[Estimate], axis: str) -> list[list[Estimate]]:
    """Estimates with a mean that differ in one number of the column only, ascending; at least two each."""
    groups: dict[Any, list[Estimate]] = defaultdict(list)
    for one in found:
        if one.mean is not None and isinstance(one.column[axis], int):
            groups[one.arm.key, one.column.without(axis).key].append(one)
    return [sorted(series, key=lambda one: int(one.column[axis])) for series in groups.values() if len(series) > 1]


def between(low: float, high: float, share: float) -> float:
    """The size at a share of the way from low to high, on the logarithm."""
    return math.exp(math.log(low) + share * (math.log(high) - math.log(low)))


def in_percent(one: Estimate) -> str:
    """A score with its interval: `81.3 % (78.0 to 84.2)`."""
    if one.low is None or one.high is None:
        return f"{100 * (one.mean or 0.0):.1f} %"
    return f"{100 * (one.mean or 0.0):.1f} % ({100 * one.low:.1f} to {100 * one.high:.1f})"


def in_points(change: Contrast) -> str:
    """A difference with its interval: `+3.1 points (-0.2 to +6.4)`."""
    shown = f"{100 * change.difference:+.1f} points"
    if change.low is None or change.high is None:
        return shown
    return f"{shown} ({100 * change.low:+.1f} to {100 * change.high:+.1f})"


def listed(words: Sequence[str]) -> str:
    """`a; b and c`."""
    return words[0] if len(words) == 1 else f"{'; '.join(words[:-1])} and {words[-1]}"
