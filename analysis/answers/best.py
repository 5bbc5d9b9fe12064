"""Which arm is best in every column, and which arms cannot be told from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.answers.contrasts import in_percent, listed
from analysis.arms import Covers, Estimate, Point, columns_of
from analysis.comparing import Comparison, Verdict


@dataclass(frozen=True, kw_only=True)
class BestArm:
    """Which arm scored highest in a column, and which arms cannot be told from it."""

    column: Point
    best: Point
    mean: float
    low: float | None
    high: float | None
    rivals: tuple[Point, ...]
    """Arms that no comparison shows to be worse than the best, highest first."""
    worse: tuple[Point, ...]
    text: str


def best_arms(found: Sequence[Estimate], compared: Iterable[Comparison]) -> tuple[BestArm, ...]:
    """The best arm of every column, with the set that cannot be told from it."""
    verdicts: dict[Any, Comparison] = {}
    for one in compared:
        verdicts[one.column.key, frozenset((one.first.key, one.second.key))] = one
    answers = []
    for column in columns_of(found):
        scored = [one for one in found if one.column.key == column.key and one.mean is not None]
        if scored:
            answers.append(_best_arm(column, sorted(scored, key=lambda one: -(one.mean or 0.0)), verdicts))
    return tuple(answers)


def _best_arm(column: Point, scored: Sequence[Estimate], verdicts: dict[Any, Comparison]) -> BestArm:
    best, others = scored[0], scored[1:]
    rivals: list[Point] = []
    worse: list[Point] = []
    for other in others:
        one = verdicts.get((column.key, frozenset((best.arm.key, other.arm.key))))
        decided = one is not None and one.verdict in (Verdict.FIRST, Verdict.SECOND)
        (worse if decided else rivals).append(other.arm)
    text = f"{column.title}: {best.arm.title} scored highest, {in_percent(best)}"
    if rivals:
        text += f"; it cannot be told from {listed([arm.title for arm in rivals])}."
    else:
        whose = "this trained model" if best.covers is Covers.ROWS else "it"
        text += f"; {whose} is better than every other one." if others else "; nothing else has a score."
    return BestArm(
        column=column,
        best=best.arm,
        mean=best.mean or 0.0,
        low=best.low,
        high=best.high,
        rivals=tuple(rivals),
        worse=tuple(worse),
        text=text,
    )
