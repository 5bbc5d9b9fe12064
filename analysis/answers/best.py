"""Which arm is best in every column, and which arms cannot be told from it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.answers.wording import caveat, in_percent, listed
from analysis.arms import Covers, Estimate, Point, columns_of, direction_of
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
    without: tuple[Point, ...] = ()
    """Arms that were declared here and have no number."""
    even: tuple[Point, ...] = ()
    """Rivals with the very same score: the highest as well."""


def best_arms(found: Sequence[Estimate], compared: Iterable[Comparison]) -> tuple[BestArm, ...]:
    """The best arm of every column, with the set that cannot be told from it."""
    verdicts: dict[Any, Comparison] = {}
    for one in compared:
        verdicts[one.column.key, frozenset((one.first.key, one.second.key))] = one
    by_column: dict[Any, list[Estimate]] = defaultdict(list)
    for estimate in found:
        by_column[estimate.column.key].append(estimate)
    better = direction_of(found[0].metric) if found else 1
    answers = []
    for column in columns_of(found):
        here = by_column[column.key]
        scored = sorted((one for one in here if one.mean is not None), key=lambda one: -better * (one.mean or 0.0))
        if scored:
            answers.append(_best_arm(column, scored, [one for one in here if one.mean is None], verdicts))
    return tuple(answers)


def _best_arm(
    column: Point, scored: Sequence[Estimate], without: Sequence[Estimate], verdicts: Mapping[Any, Comparison]
) -> BestArm:
    best, others = scored[0], scored[1:]
    rivals: list[Estimate] = []
    worse: list[Estimate] = []
    models: list[Estimate] = []
    beyond: list[Estimate] = []
    apart: list[Estimate] = []
    for other in others:
        one = verdicts.get((column.key, frozenset((best.arm.key, other.arm.key))))
        is_below = one is not None and one.favours(best.arm)
        is_worse = one is not None and one.is_decided and is_below
        (worse if is_worse else rivals).append(other)
        if one is not None and not is_worse and (one.tells_models if is_below else one.is_decided):
            (models if is_below else beyond).append(other)
        elif one is not None and one.verdict is Verdict.NOT_COMPARED:
            apart.append(other)
    end = "highest" if direction_of(best.metric) > 0 else "lowest, which is best"
    text = f"{column.title}: {best.arm.title} scored {end}, {in_percent(best)}{caveat([best])}"
    # Equal scores can differ in their last bits, by the order of a sum or because single rows are kept in 32 bits.
    even = [one for one in rivals if math.isclose(one.mean or 0.0, best.mean or 0.0, rel_tol=1e-7)]
    if even:
        text += f", as did {_named(even)}"
    if rivals:
        tied = [one for one in rivals if one not in (*models, *beyond, *apart)]
        text += f"; it cannot be told from {_named(tied)}." if tied else "."
        if models:
            text += (
                f" As these trained models are, below it, but with too few seeds to say so of arms: {_named(models)}."
            )
        if apart:
            text += f" Not compared with it: {_named(apart)}."
        if beyond:
            text += f" Shown to be, on the seeds and rows that both have, better than it: {_named(beyond)}."
    else:
        whose = "this trained model" if best.covers is Covers.ROWS else "it"
        text += f"; {whose} is better than every other one." if others else "; nothing else has a score."
    if without:
        text += f" Without a number: {listed([one.arm.title + caveat([one]) for one in without])}."
    return BestArm(
        column=column,
        best=best.arm,
        mean=best.mean or 0.0,
        low=best.low,
        high=best.high,
        rivals=tuple(one.arm for one in rivals),
        worse=tuple(one.arm for one in worse),
        text=text,
        without=tuple(one.arm for one in without),
        even=tuple(one.arm for one in even),
    )


def _named(found: Sequence[Estimate]) -> str:
    return listed([one.arm.title + caveat([one], with_marks=False) for one in found])
