"""Where, over rows for training, one strategy overtakes another."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from analysis.answers.contrasts import SIZE_AXIS, along, between, contrast
from analysis.arms import Estimate, Point


@dataclass(frozen=True, kw_only=True)
class Crossover:
    """Where, over rows for training, one arm overtakes another."""

    first: Point
    second: Point
    elsewhere: Point
    sizes: tuple[int, ...]
    differences: tuple[float, ...]
    """First minus second at each size."""
    crosses_at: float | None
    """By a straight line over the logarithm of the size; None when the sign never changes, or more than once."""
    from_size: int | None
    """The largest size before it at which the one is shown to be better; None when it is at none."""
    to_size: int | None
    """The smallest size after it at which the other is shown to be better; None when it is at none."""
    text: str


def crossovers(found: Sequence[Estimate]) -> tuple[Crossover, ...]:
    """Where strategies of one model overtake each other as rows for training grow.

    Only arms that differ in nothing but their strategy are set against each other.

    Args:
        found: estimates of one metric.
    Returns:
        one answer for each pair with at least two sizes in common, crossing or not.
    """
    answers = []
    alike: dict[Any, list[list[Estimate]]] = defaultdict(list)
    for series in along(found, SIZE_AXIS):
        if not series[0].is_baseline:
            one = series[0]
            alike[one.arm.without("strategy").key, one.column.without(SIZE_AXIS).key].append(series)
    for first, second in itertools.chain.from_iterable(itertools.combinations(each, 2) for each in alike.values()):
        by_size = {one.column[SIZE_AXIS]: one for one in second}
        pairs = [(one, by_size[one.column[SIZE_AXIS]]) for one in first if one.column[SIZE_AXIS] in by_size]
        if len(pairs) > 1:
            answers.append(_crossover(pairs))
    return tuple(answers)


def _crossover(pairs: Sequence[tuple[Estimate, Estimate]]) -> Crossover:
    sizes = tuple(int(one.column[SIZE_AXIS]) for one, _ in pairs)
    steps = [step for one, other in pairs if (step := contrast(other, one)) is not None]
    differences = tuple(step.difference for step in steps)
    signs = [(size, difference) for size, difference in zip(sizes, differences, strict=True) if difference != 0]
    changes = [(a, b) for a, b in itertools.pairwise(signs) if (a[1] > 0) != (b[1] > 0)]
    first, second = pairs[0][0].arm, pairs[0][1].arm
    crosses_at = from_size = to_size = None
    names = f"{first.title} and {second.title}"
    if len(changes) == 1:
        (size, before), (next_size, after) = changes[0]
        crosses_at = between(size, next_size, before / (before - after))
        shown = [(at, step.difference) for at, step in zip(sizes, steps, strict=True) if step.is_shown]
        from_size = max((at for at, d in shown if at <= size and (d > 0) == (before > 0)), default=None)
        to_size = min((at for at, d in shown if at >= next_size and (d > 0) == (after > 0)), default=None)
        early, late = (first, second) if before > 0 else (second, first)
        sure = (
            f"shown better at {from_size} and worse at {to_size}"
            if from_size is not None and to_size is not None
            else "not shown by intervals on both sides"
        )
        text = f"{late.title} overtakes {early.title} at about {crosses_at:.0f} rows for training ({sure})."
    elif changes:
        text = f"{names} change places {len(changes)} times: no crossover can be told from noise."
    else:
        ahead = first if sum(differences) > 0 else second
        text = (
            f"{names} do not cross from {sizes[0]} to {sizes[-1]} rows for training: {ahead.title} is ahead throughout."
        )
        if not any(differences):
            text = f"{names} have equal scores from {sizes[0]} to {sizes[-1]} rows for training."
    return Crossover(
        first=first,
        second=second,
        elsewhere=pairs[0][0].column.without(SIZE_AXIS),
        sizes=sizes,
        differences=differences,
        crosses_at=crosses_at,
        from_size=from_size,
        to_size=to_size,
        text=text,
    )
