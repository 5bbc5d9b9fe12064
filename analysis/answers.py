"""Answers in words: best arms, effects of labels and of rows for training, crossovers, rows needed, gains."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from analysis.arms import Covers, Estimate, Point, columns_of
from analysis.comparing import Comparison, Verdict, pair_up
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


@dataclass(frozen=True, kw_only=True)
class Bought:
    """What an arm gains over a cheap baseline in one column."""

    comparison: Comparison
    gain: float
    text: str


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
    text = f"{column.title}: {best.arm.title} scored highest, {_scored(best)}"
    if rivals:
        text += f"; it cannot be told from {_listed([arm.title for arm in rivals])}."
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


def axis_effects(found: Sequence[Estimate], axis: str) -> tuple[AxisEffect, ...]:
    """The effect of label count or of rows for training, for every arm and the rest of the column.

    Args:
        found: estimates of one metric.
        axis: num_labels (more are harder) or num_samples (more are easier).
    Returns:
        one effect for each arm and rest with at least two levels.
    """
    effects = []
    for series in _series(found, axis):
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
        f"the score moves by {_points(overall)}"
    )
    if reversals:
        where = _listed([f"{a} to {b}" for a, b in reversals])
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
            fall = _points(change).replace("+", "")
            text = f"{easiest.arm.title} falls by {fall} from {easiest.column.title} to {hardest.column.title}."
            answers.append(
                Drop(arm=easiest.arm, easiest=easiest.column, hardest=hardest.column, contrast=change, text=text)
            )
    return tuple(answers)


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
    for series in _series(found, SIZE_AXIS):
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
        crosses_at = _between(size, next_size, before / (before - after))
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


def rows_needed(found: Sequence[Estimate], target: float) -> tuple[RowsNeeded, ...]:
    """How many rows for training every arm needs for a target score.

    Args:
        found: estimates of a metric of which more is better.
        target: the score.
    Returns:
        one answer for each arm and rest of the column with at least two sizes.
    """
    answers = []
    for series in _series(found, SIZE_AXIS):
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


def bought(compared: Iterable[Comparison], baseline: str = "tfidf") -> tuple[Bought, ...]:
    """What every arm gains over a baseline in every column.

    Args:
        compared: comparisons that include the baseline's.
        baseline: strategy of the baseline.
    Returns:
        one answer a comparison with the baseline.
    """
    answers = []
    for one in compared:
        names = [one.first["strategy"], one.second["strategy"]]
        if one.difference is None or names.count(baseline) != 1:
            continue
        turned = names[0] == baseline
        arm = one.second if turned else one.first
        gain = -one.difference if turned else one.difference
        low, high = (-(one.high or 0.0), -(one.low or 0.0)) if turned else (one.low, one.high)
        known = {
            Verdict.EQUIVALENT: "no difference in practice",
            Verdict.UNDECIDED: "which is not shown",
            Verdict.FIRST: "which is shown",
            Verdict.SECOND: "which is shown",
        }[one.verdict]
        change = Contrast(difference=gain, low=low, high=high, is_paired=True)
        text = f"{one.column.title}: {arm.title} scores {_points(change)} against {baseline}, {known}."
        answers.append(Bought(comparison=one, gain=gain, text=text))
    return tuple(answers)


def _series(found: Sequence[Estimate], axis: str) -> list[list[Estimate]]:
    """Estimates with a mean that differ in one number of the column only, ascending; at least two each."""
    groups: dict[Any, list[Estimate]] = defaultdict(list)
    for one in found:
        if one.mean is not None and isinstance(one.column[axis], int):
            groups[one.arm.key, one.column.without(axis).key].append(one)
    return [sorted(series, key=lambda one: int(one.column[axis])) for series in groups.values() if len(series) > 1]


def _levels(pairs: Iterable[tuple[Estimate, Estimate]], axis: str) -> tuple[tuple[int, int], ...]:
    return tuple((one.column[axis], other.column[axis]) for one, other in pairs)


def _between(low: float, high: float, share: float) -> float:
    """The size at a share of the way from low to high, on the logarithm."""
    return math.exp(math.log(low) + share * (math.log(high) - math.log(low)))


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
    return _between(sizes[reached - 1], sizes[reached], (target - before) / (after - before))


def _scored(one: Estimate) -> str:
    if one.low is None or one.high is None:
        return f"{100 * (one.mean or 0.0):.1f} %"
    return f"{100 * (one.mean or 0.0):.1f} % ({100 * one.low:.1f} to {100 * one.high:.1f})"


def _points(change: Contrast) -> str:
    shown = f"{100 * change.difference:+.1f} points"
    if change.low is None or change.high is None:
        return shown
    return f"{shown} ({100 * change.low:+.1f} to {100 * change.high:+.1f})"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{'; '.join(words[:-1])} and {words[-1]}"
