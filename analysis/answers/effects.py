"""What more labels and more rows for training do to every arm, and how far it falls from its easiest column."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.answers.contrasts import LABELS_AXIS, Contrast, along, contrast, in_points, listed
from analysis.arms import Estimate, Point


@dataclass(frozen=True, kw_only=True)
class AxisEffect:
    """How one arm's score moves along num_labels or num_samples while the rest of the column stays."""

    arm: Point
    axis: str
    elsewhere: Point
    levels: tuple[int, ...]
    means: tuple[float, ...]
    overall: Contrast
    """Last level against the first."""
    is_monotone: bool
    """Each mean at least (num_samples), or at most (num_labels), the one before."""
    reversals: tuple[tuple[int, int], ...]
    """Neighbouring levels that go the other way."""
    shown_reversals: tuple[tuple[int, int], ...]
    """Those whose interval leaves out zero."""
    text: str


@dataclass(frozen=True, kw_only=True)
class Drop:
    """How much lower one arm scores in its hardest column than in its easiest."""

    arm: Point
    easiest: Point
    hardest: Point
    contrast: Contrast
    text: str


def axis_effects(found: Sequence[Estimate], axis: str) -> tuple[AxisEffect, ...]:
    """The effect of label count or of rows for training, for every arm and the rest of the column.

    Args:
        found: estimates of one metric.
        axis: num_labels (more are harder) or num_samples (more are easier).
    Returns:
        one effect for each arm and rest with at least two levels.
    """
    effects = []
    for series in along(found, axis):
        steps = list(itertools.pairwise(series))
        sign = -1.0 if axis == LABELS_AXIS else 1.0
        against = [(one, other) for one, other in steps if sign * ((other.mean or 0.0) - (one.mean or 0.0)) < 0]
        shown = [pair for pair in against if (step := contrast(*pair)) is not None and step.is_shown]
        overall = contrast(series[0], series[-1])
        if overall is not None:
            effects.append(_axis_effect(series, axis, overall, _levels(against, axis), _levels(shown, axis)))
    return tuple(effects)


def _axis_effect(
    series: Sequence[Estimate],
    axis: str,
    overall: Contrast,
    reversals: tuple[tuple[int, int], ...],
    shown: tuple[tuple[int, int], ...],
) -> AxisEffect:
    first, last = series[0], series[-1]
    what = "labels" if axis == LABELS_AXIS else "rows for training"
    elsewhere = first.column.without(axis)
    text = (
        f"{first.arm.title} ({elsewhere.title}): from {first.column[axis]} to {last.column[axis]} {what} "
        f"the score moves by {in_points(overall)}"
    )
    if reversals:
        where = listed([f"{a} to {b}" for a, b in reversals])
        noise = "" if shown else ", which test rows and seeds alone can explain"
        text += f"; it goes the other way from {where}{noise}."
    else:
        text += ", in one direction throughout."
    return AxisEffect(
        arm=first.arm,
        axis=axis,
        elsewhere=elsewhere,
        levels=tuple(one.column[axis] for one in series),
        means=tuple(one.mean or 0.0 for one in series),
        overall=overall,
        is_monotone=not reversals,
        reversals=reversals,
        shown_reversals=shown,
        text=text,
    )


def drops(found: Sequence[Estimate]) -> tuple[Drop, ...]:
    """For every arm with at least two columns, the fall from its easiest to its hardest column."""
    by_arm: dict[Any, list[Estimate]] = defaultdict(list)
    for one in found:
        if one.mean is not None:
            by_arm[one.arm.key].append(one)
    answers = []
    for scored in by_arm.values():
        hardest, easiest = (choose(scored, key=lambda one: one.mean or 0.0) for choose in (min, max))
        change = contrast(hardest, easiest)
        if len(scored) > 1 and change is not None:
            fall = in_points(change).replace("+", "")
            text = f"{easiest.arm.title} falls by {fall} from {easiest.column.title} to {hardest.column.title}."
            answers.append(
                Drop(arm=easiest.arm, easiest=easiest.column, hardest=hardest.column, contrast=change, text=text)
            )
    return tuple(answers)


def _levels(pairs: Iterable[tuple[Estimate, Estimate]], axis: str) -> tuple[tuple[int, int], ...]:
    return tuple((one.column[axis], other.column[axis]) for one, other in pairs)
