"""What more labels and more rows for training do to every arm, and how far it falls from its easiest column."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.answers.contrasts import LABELS_AXIS, Contrast, along, contrast, contrasts, shared_level
from analysis.answers.wording import caveat, in_points, listed
from analysis.arms import Estimate, Point, direction_of


@dataclass(frozen=True, kw_only=True)
class AxisEffect:
    """How one arm's score moves along num_labels or num_samples while the rest of the column stays."""

    arm: Point
    axis: str
    elsewhere: Point
    levels: tuple[int, ...]
    means: tuple[float, ...]
    overall: Contrast
    """Last level against the first, with a 95 % interval of its own."""
    is_shown: bool
    """The change from the first level to the last leaves out zero, allowing for how many changes are looked at."""
    is_monotone: bool
    """Each mean at least (num_samples), or at most (num_labels), as good as the one before."""
    reversals: tuple[tuple[int, int], ...]
    """Neighbouring levels that go the other way."""
    shown_reversals: tuple[tuple[int, int], ...]
    """Those whose interval leaves out zero, allowing for how many steps are looked at."""
    text: str


@dataclass(frozen=True, kw_only=True)
class Drop:
    """How much worse one arm scores in its hardest column than in its easiest."""

    arm: Point
    easiest: Point
    hardest: Point
    contrast: Contrast
    text: str


def axis_effects(found: Sequence[Estimate], axis: str) -> tuple[AxisEffect, ...]:
    """The effect of label count or of rows for training, for every arm and the rest of the column.

    Many arms are looked at together, so what is called shown holds for all of them at once (Bonferroni).

    Args:
        found: estimates of one metric.
        axis: num_labels (more are harder) or num_samples (more are easier).
    Returns:
        one effect for each arm and rest with at least two levels.
    """
    lines = along(found, axis)
    steps = sum(len(line) - 1 for line in lines)
    return tuple(
        _axis_effect(line, axis, overall_level=shared_level(len(lines)), step_level=shared_level(steps))
        for line in lines
    )


def _axis_effect(line: Sequence[Estimate], axis: str, *, overall_level: float, step_level: float) -> AxisEffect:
    first, last = line[0], line[-1]
    sign = direction_of(first.metric) * (-1.0 if axis == LABELS_AXIS else 1.0)
    against = [
        (one, other) for one, other in itertools.pairwise(line) if sign * ((other.mean or 0.0) - (one.mean or 0.0)) < 0
    ]
    shown = [pair for pair in against if (step := contrast(*pair, level=step_level)) is not None and step.is_shown]
    overall, sure = contrasts(first, last, (0.95, overall_level))
    assert overall is not None and sure is not None  # noqa: S101  a line has means only
    what = "labels" if axis == LABELS_AXIS else "rows for training"
    elsewhere = first.column.without(axis)
    text = (
        f"{first.arm.title} ({elsewhere.title}): from {first.column[axis]} to {last.column[axis]} {what} "
        f"the score moves by {in_points(overall)}"
    )
    if against:
        noise = " beyond what test rows and seeds explain" if shown else ", which test rows and seeds alone can explain"
        where = listed([f"{a} to {b}" for a, b in _levels(shown or against, axis)])
        text += f"; it goes the other way from {where}{noise}."
    else:
        text += ", in one direction throughout." if len(line) > 2 else "."
    return AxisEffect(
        arm=first.arm,
        axis=axis,
        elsewhere=elsewhere,
        levels=tuple(one.column[axis] for one in line),
        means=tuple(one.mean or 0.0 for one in line),
        overall=overall,
        is_shown=sure.is_shown,
        is_monotone=not against,
        reversals=_levels(against, axis),
        shown_reversals=_levels(shown, axis),
        text=text.removesuffix(".") + caveat(line) + ".",
    )


def drops(found: Sequence[Estimate]) -> tuple[Drop, ...]:
    """For every arm with at least two scores, the fall from its easiest to its hardest column."""
    by_arm: dict[Any, list[Estimate]] = defaultdict(list)
    for one in found:
        if one.mean is not None:
            by_arm[one.arm.key].append(one)
    better = direction_of(found[0].metric) if found else 1
    answers = []
    for scored in by_arm.values():
        hardest, easiest = (choose(scored, key=lambda one: better * (one.mean or 0.0)) for choose in (min, max))
        change = contrast(hardest, easiest)
        if hardest.mean != easiest.mean and change is not None:
            fall = in_points(change).replace("+", "")
            text = (
                f"{easiest.arm.title} falls by {fall} from {easiest.column.title} to {hardest.column.title}"
                f"{caveat([easiest, hardest])}."
            )
            answers.append(
                Drop(arm=easiest.arm, easiest=easiest.column, hardest=hardest.column, contrast=change, text=text)
            )
    return tuple(answers)


def _levels(pairs: Iterable[tuple[Estimate, Estimate]], axis: str) -> tuple[tuple[int, int], ...]:
    return tuple((one.column[axis], other.column[axis]) for one, other in pairs)
