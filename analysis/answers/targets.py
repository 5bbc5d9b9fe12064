"""How many rows for training, labelled ones, every arm needs for a target score, and what training on them costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.answers.contrasts import LABELS_AXIS, SIZE_AXIS, along
from analysis.answers.crossing import between
from analysis.answers.wording import caveat, in_percent, listed, rounded
from analysis.arms import Estimate, Point, direction_of
from analysis.costs import DOLLARS, CostPoint, cost_text


@dataclass(frozen=True, kw_only=True)
class RowsNeeded:
    """How many rows for training an arm needs for a target score."""

    arm: Point
    elsewhere: Point
    target: float
    rows: float | None
    """By straight lines over the logarithm of the size; None when the largest size does not have the target."""
    at_least: float | None
    """Where the better end of the interval reaches the target; None when it does not."""
    at_most: float | None
    """From where on the worse end does."""
    dollars: float | None
    """Price of one training on so many rows; None without a price, or when the target is not reached."""
    text: str


def rows_needed(found: Sequence[Estimate], target: float, costs: Sequence[CostPoint] = ()) -> tuple[RowsNeeded, ...]:
    """How many rows for training every arm needs for a target score.

    Args:
        found: estimates of one metric.
        target: the score.
        costs: of the same estimates; with dollars among them, training is priced.
    Returns:
        one answer for each arm and rest of the column.
    """
    prices = {(one.arm.key, one.column.key): one.costs[DOLLARS] for one in costs if DOLLARS in one.costs}
    return tuple(_rows_needed(line, target, prices) for line in along(found, SIZE_AXIS, least=1))


def _rows_needed(line: Sequence[Estimate], target: float, prices: Mapping[Any, float]) -> RowsNeeded:
    better = direction_of(line[0].metric)
    sizes = [int(one.column[SIZE_AXIS]) for one in line]
    ends = [(one.low, one.high) if better > 0 else (one.high, one.low) for one in line]
    rows = _reaches(sizes, [one.mean for one in line], target, better)
    at_least = _reaches(sizes, [best for _, best in ends], target, better)
    at_most = _reaches(sizes, [worst for worst, _ in ends], target, better)
    dollars = None if rows is None else _price(line, sizes, rows, prices)
    name = f"{line[0].arm.title} ({line[0].column.without(SIZE_AXIS).title})"
    return RowsNeeded(
        arm=line[0].arm,
        elsewhere=line[0].column.without(SIZE_AXIS),
        target=target,
        rows=rows,
        at_least=at_least,
        at_most=at_most,
        dollars=dollars,
        text=f"{name} {_text(line, sizes, target, rows, at_least, at_most, dollars)}{caveat(line)}.",
    )


def _text(
    line: Sequence[Estimate],
    sizes: Sequence[int],
    target: float,
    rows: float | None,
    at_least: float | None,
    at_most: float | None,
    dollars: float | None,
) -> str:
    score, last = f"{100 * target:.1f} %", f"{sizes[-1]:,} rows for training"
    better = direction_of(line[0].metric)
    reached = [f"{size:,}" for size, one in zip(sizes, line, strict=True) if better * ((one.mean or 0.0) - target) >= 0]
    if rows is None and reached:
        return (
            f"has {score} with {listed(reached)} rows for training, but not with {last}: {in_percent(line[-1])} there"
        )
    if rows is None:
        may = "" if at_least is None else f"; its interval does from about {rounded(at_least)}"
        return f"does not reach {score} with up to {last}, where it has {in_percent(line[-1])}{may}"
    labels = line[0].column[LABELS_AXIS]
    each = f", {rounded(rows / labels)} a label" if isinstance(labels, int) and labels > 0 else ""
    price = "" if dollars is None else f"; one training on them costs {cost_text(DOLLARS, dollars)}"
    has_intervals = all(one.low is not None for one in line)
    if rows <= sizes[0]:
        is_sure = at_most == sizes[0] or not has_intervals
        sure = "" if is_sure else f", though its interval only does {_from(at_most, last)}"
        return f"has {score} with {sizes[0]:,} rows for training, the fewest tried{each}{sure}{price}"
    least = f"fewer than {sizes[0]:,}" if at_least is None or at_least <= sizes[0] else rounded(at_least)
    most = f"more than {sizes[-1]:,}" if at_most is None else rounded(at_most)
    bounds = f" (by its interval, {least} to {most})" if has_intervals else ""
    return f"needs about {rounded(rows)} rows for training for {score}{each}{bounds}{price}"


def _from(at_most: float | None, last: str) -> str:
    return f"beyond {last}" if at_most is None else f"from {rounded(at_most)}"


def _price(line: Sequence[Estimate], sizes: Sequence[int], rows: float, prices: Mapping[Any, float]) -> float | None:
    """Dollars of a training on so many rows, along a straight line between the two sizes around it."""
    known = [prices.get((one.arm.key, one.column.key)) for one in line]
    after = next(index for index, size in enumerate(sizes) if size >= rows)
    high = known[after]
    if sizes[after] == rows:
        return high
    low = known[after - 1]
    if low is None or high is None:
        return None
    return low + (high - low) * (rows - sizes[after - 1]) / (sizes[after] - sizes[after - 1])


def _reaches(sizes: Sequence[int], values: Sequence[float | None], target: float, better: int) -> float | None:
    """The first size from which all further values are at least as good as the target."""
    reached = None
    for index in reversed(range(len(sizes))):
        value = values[index]
        if value is None or better * (value - target) < 0:
            break
        reached = index
    if reached is None:
        return None
    before = values[reached - 1] if reached else None
    if before is None:
        return float(sizes[reached])
    after = values[reached]
    assert after is not None  # noqa: S101  it was compared with the target above
    return between(sizes[reached - 1], sizes[reached], (target - before) / (after - before))
