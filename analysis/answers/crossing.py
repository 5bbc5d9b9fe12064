"""Where, over rows for training, one strategy overtakes another."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from analysis.answers.contrasts import SIZE_AXIS, along, contrast, shared_level
from analysis.answers.wording import caveat, rounded
from analysis.arms import Estimate, Point, direction_of


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

    Only arms that differ in nothing but their strategy are set against each other. What is called shown allows for how
    many differences are looked at (Bonferroni).

    Args:
        found: estimates of one metric.
    Returns:
        one answer for each pair with at least two sizes in common, crossing or not.
    """
    alike: dict[Any, list[list[Estimate]]] = defaultdict(list)
    for line in along(found, SIZE_AXIS):
        if not line[0].is_baseline:
            one = line[0]
            alike[one.arm.without("strategy").key, one.column.without(SIZE_AXIS).key].append(line)
    paired = []
    for first, second in itertools.chain.from_iterable(itertools.combinations(each, 2) for each in alike.values()):
        by_size = {one.column[SIZE_AXIS]: one for one in second}
        pairs = [(one, by_size[one.column[SIZE_AXIS]]) for one in first if one.column[SIZE_AXIS] in by_size]
        if len(pairs) > 1:
            paired.append(pairs)
    level = shared_level(sum(len(pairs) for pairs in paired))
    return tuple(_crossover(pairs, level) for pairs in paired)


def _crossover(pairs: Sequence[tuple[Estimate, Estimate]], level: float) -> Crossover:
    better = direction_of(pairs[0][0].metric)
    sizes = tuple(int(one.column[SIZE_AXIS]) for one, _ in pairs)
    steps = [step for one, other in pairs if (step := contrast(other, one, level=level)) is not None]
    differences = tuple(step.difference for step in steps)
    leads = [(size, better * difference) for size, difference in zip(sizes, differences, strict=True) if difference]
    shown = {size: better * step.difference for size, step in zip(sizes, steps, strict=True) if step.is_shown}
    changes = [(a, b) for a, b in itertools.pairwise(leads) if (a[1] > 0) != (b[1] > 0)]
    first, second = pairs[0][0].arm, pairs[0][1].arm
    crosses_at = from_size = to_size = None
    if len(changes) == 1:
        (size, before), (next_size, after) = changes[0]
        crosses_at = between(size, next_size, before / (before - after))
        from_size = max((at for at, d in shown.items() if at <= size and (d > 0) == (before > 0)), default=None)
        to_size = min((at for at, d in shown.items() if at >= next_size and (d > 0) == (after > 0)), default=None)
    text = _text(first, second, sizes, leads, changes, crosses_at, (from_size, to_size), len(shown))
    elsewhere = pairs[0][0].column.without(SIZE_AXIS)
    return Crossover(
        first=first,
        second=second,
        elsewhere=elsewhere,
        sizes=sizes,
        differences=differences,
        crosses_at=crosses_at,
        from_size=from_size,
        to_size=to_size,
        text=f"{elsewhere.title}: {text}{caveat(itertools.chain.from_iterable(pairs))}.",
    )


def _text(
    first: Point,
    second: Point,
    sizes: Sequence[int],
    leads: Sequence[tuple[int, float]],
    changes: Sequence[tuple[tuple[int, float], tuple[int, float]]],
    crosses_at: float | None,
    sure: tuple[int | None, int | None],
    shown: int,
) -> str:
    if crosses_at is not None:
        early, late = (first, second) if changes[0][0][1] > 0 else (second, first)
        known = "which is not shown on both sides"
        if sure[0] is not None and sure[1] is not None:
            known = f"shown to be worse at {sure[0]:,} and better at {sure[1]:,}"
        return f"{late.title} overtakes {early.title} at about {rounded(crosses_at)} rows for training, {known}"
    if changes:
        return (
            f"{first.title} and {second.title} change places {len(changes)} times: no crossover can be told from noise"
        )
    places = f"from {sizes[0]:,} to {sizes[-1]:,} rows for training"
    if not leads:
        return f"{first.title} and {second.title} have equal scores {places}"
    ahead, behind = (first, second) if leads[0][1] > 0 else (second, first)
    known = f"shown at {shown} of {len(sizes)} sizes" if shown else "not shown at any size"
    return f"{ahead.title} is ahead of {behind.title} {places}, which is {known}"


def between(low: float, high: float, share: float) -> float:
    """The size at a share of the way from low to high, on the logarithm."""
    size = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    return min(max(size, low), high)  # rounding may lead a hair beyond
