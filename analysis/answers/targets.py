"""How many rows for training, labelled ones, every arm needs for a target score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.answers.contrasts import SIZE_AXIS, along, between
from analysis.arms import Estimate, Point


@dataclass(frozen=True, kw_only=True)
class RowsNeeded:
    """How many rows for training an arm needs for a target score."""

    arm: Point
    elsewhere: Point
    target: float
    rows: float | None
    """By straight lines over the logarithm of the size; None when the target is not reached."""
    at_least: float | None
    """Where the upper end of the interval reaches the target; None when it does not."""
    at_most: float | None
    """From where on the lower end does."""
    text: str


def rows_needed(found: Sequence[Estimate], target: float) -> tuple[RowsNeeded, ...]:
    """How many rows for training every arm needs for a target score.

    Args:
        found: estimates of a metric of which more is better.
        target: the score.
    Returns:
        one answer for each arm and rest of the column with at least two sizes.
    """
    answers = []
    for series in along(found, SIZE_AXIS):
        sizes = [int(one.column[SIZE_AXIS]) for one in series]
        rows = _reaches(sizes, [one.mean for one in series], target)
        at_least = _reaches(sizes, [one.high for one in series], target)
        at_most = _reaches(sizes, [one.low for one in series], target)
        name, score = series[0].arm.title, f"{100 * target:.1f} %"
        rest = series[0].column.without(SIZE_AXIS)
        if rows is None:
            text = f"{name} ({rest.title}) does not reach {score} with {sizes[-1]} rows for training."
        else:
            most = "an unknown number" if at_most is None else f"{at_most:.0f}"
            least = f"{at_least:.0f}" if at_least is not None else f"{sizes[0]}"
            text = f"{name} ({rest.title}) needs about {rows:.0f} rows for training for {score} ({least} to {most})."
        answers.append(
            RowsNeeded(
                arm=series[0].arm,
                elsewhere=rest,
                target=target,
                rows=rows,
                at_least=at_least,
                at_most=at_most,
                text=text,
            )
        )
    return tuple(answers)


def _reaches(sizes: Sequence[int], values: Sequence[float | None], target: float) -> float | None:
    """The first size from which all further values are at least the target."""
    reached = None
    for index in reversed(range(len(sizes))):
        value = values[index]
        if value is None or value < target:
            break
        reached = index
    if reached is None:
        return None
    before = values[reached - 1] if reached else None
    if before is None:
        return float(sizes[reached])
    after = values[reached] or 0.0
    return between(sizes[reached - 1], sizes[reached], (target - before) / (after - before))
