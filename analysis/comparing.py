"""Comparisons of arms on the same test rows: differences with intervals, p-values, and what may be claimed."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

import pandas as pd

from analysis.arms import Covers, Estimate, Point, columns_of, direction_of
from analysis.crossed import Parts, half_width, p_value, stacked
from analysis.paired import adjusted, mcnemar
from analysis.pairing import Paired, pair_all
from analysis.power import Variances, rows_to_detect, seeds_to_detect, smallest_detectable
from analysis.predictions import Answers, common_rows

ALPHA: Final = 0.05
MARGIN: Final = 0.01
"""Differences smaller than one percentage point make no difference in practice, unless the caller says otherwise."""


class Verdict(StrEnum):
    """What a comparison says, after correction for the number of comparisons."""

    FIRST = "first better"
    SECOND = "second better"
    EQUIVALENT = "equivalent in practice"
    UNDECIDED = "undecided"
    NOT_COMPARED = "not compared"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two arms in one column, on the seeds and test rows that both have."""

    column: Point
    first: Point
    second: Point
    first_mean: float | None
    second_mean: float | None
    """Means on the shared seeds and rows; they can differ from those of the arms alone."""
    difference: float | None
    """First minus second."""
    low: float | None
    high: float | None
    seeds: int
    rows: int
    covers: Covers
    p: float | None
    p_holm: float | None
    """Adjusted over all comparisons of the report (Holm): of reports, at most as many make any false claim."""
    p_rows: float | None
    """Adjusted by Holm, for these trained models alone: it allows for other test rows, not for other seeds."""
    p_bh: float | None
    """Adjusted by Benjamini and Hochberg: the expected share of false claims among those below it."""
    is_equivalent: bool
    """Both one-sided tests say that the difference lies inside the margin (TOST: the 90 % interval does)."""
    margin: float
    smallest_detectable: float | None
    """What this comparison alone would have found with 80 % probability."""
    verdict: Verdict
    reason: str
    """Why nothing was compared; empty otherwise."""
    parts: Parts | None = None
    alpha_each: float = ALPHA
    """Level at which a comparison is decided whatever the others say: alpha over their number."""
    better: int = 1
    """1 where more of the metric is better, -1 where less is."""
    marked: tuple[int, int] = (0, 0)
    """Cells of the first and of the second arm that depart from their declaration."""

    @property
    def is_decided(self) -> bool:
        """One of the two is shown to be better."""
        return self.verdict in (Verdict.FIRST, Verdict.SECOND)

    @property
    def tells_models(self) -> bool:
        """Test rows alone tell the trained models apart, although their seeds may not tell the arms apart."""
        return not self.is_equivalent and self.p_rows is not None and self.p_rows < ALPHA

    def favours(self, arm: Point) -> bool:
        """An arm is the better of the two on the seeds and rows that both have, shown or not.

        With other seeds or rows than these its own mean may say the opposite.
        """
        sign = self.better if arm.key == self.first.key else -self.better
        return sign * (self.difference or 0.0) > 0

    @property
    def wanted(self) -> float:
        """The difference that settles it: the observed one, or the margin where that is larger."""
        return max(abs(self.difference or 0.0), self.margin)

    @property
    def seeds_needed(self) -> int | None:
        """Seeds in all that would find the wanted difference on these rows; None: they cannot, or it is unknown."""
        if self.parts is None or self.seeds < 2:
            return None
        return seeds_to_detect(self.parts, self.wanted, alpha=self.alpha_each)

    @property
    def rows_needed(self) -> int | None:
        """Test rows in all that would find it with these seeds; None: more rows alone cannot."""
        return None if self.parts is None else rows_to_detect(self.parts, self.wanted, alpha=self.alpha_each)

    @property
    def settles(self) -> str:
        """What would settle an undecided comparison, in words; empty for a decided one."""
        if self.verdict is not Verdict.UNDECIDED or self.parts is None:
            return ""
        points = f"{100 * self.wanted:.1f} points"
        if self.seeds == 1:
            rows = _count(self.rows_needed, "test rows")
            return f"One seed cannot tell arms apart; {rows} would find {points} between these two models."
        ways = [
            f"{_count(needed, what)}"
            for needed, what in ((self.seeds_needed, "seeds"), (self.rows_needed, "test rows"))
            if needed is not None
        ]
        if not ways:
            return f"Neither seeds nor test rows alone settle {points}: both are needed."
        return f"{' or '.join(ways)} would find {points} with 80 % probability."


def _count(number: int | None, what: str) -> str:
    return f"no number of {what}" if number is None else f"{number:,} {what}"


def compare(
    found: Iterable[Estimate],
    *,
    alpha: float = ALPHA,
    margin: float = MARGIN,
    level: float = 0.95,
    keep: Callable[[Estimate, Estimate], bool] | None = None,
) -> tuple[Comparison, ...]:
    """Compare every pair of arms in every column; all of them together are one family for the corrections.

    A pair is compared on the seeds and test rows that both arms have. With several seeds, interval and p-value come
    from the crossed variance parts of the differences; with one, p is McNemar's (mid-p), and the claim is about the two
    trained models, not about the arms (`covers`): where some arm has several seeds, so that verdicts are about arms,
    one shared seed decides nothing.

    Args:
        found: estimates of one metric; only those with single predictions can be compared.
        alpha: level of verdicts, after Holm's correction.
        margin: half the width of the zone in which differences do not matter in practice.
        level: coverage of the intervals, which are not corrected.
        keep: which pairs to compare; it must not look at scores, or the corrections no longer hold. None: all.
    Returns:
        one comparison a pair, columns ascending, arms in the order of the estimates.
    """
    estimates = list(found)
    by_column: dict[Any, list[Estimate]] = defaultdict(list)
    for one in estimates:
        by_column[one.column.key].append(one)
    pairs = [pair for column in columns_of(estimates) for pair in itertools.combinations(by_column[column.key], 2)]
    if keep is not None:
        pairs = [pair for pair in pairs if keep(*pair)]
    raw = pair_all(pairs)
    measured = _measure([one for one in raw if one is not None], level=level, alpha=alpha, margin=margin)
    results = iter(measured)
    compared = [
        _not_compared(first, second, margin) if one is None else _comparison(first, second, one, next(results), margin)
        for (first, second), one in zip(pairs, raw, strict=True)
    ]
    least_seeds = 2 if any(len(one.seeds) > 1 for one in estimates) else 1
    better = direction_of(estimates[0].metric) if estimates else 1
    return _with_verdicts(compared, alpha, better=better, least_seeds=least_seeds)


def comparisons_frame(compared: Sequence[Comparison]) -> pd.DataFrame:
    """One row a comparison, ready to be shown."""
    return pd.DataFrame(
        [
            {
                **dict(one.column.key),
                "first": one.first.title,
                "second": one.second.title,
                "first_mean": one.first_mean,
                "second_mean": one.second_mean,
                "difference": one.difference,
                "low": one.low,
                "high": one.high,
                "seeds": one.seeds,
                "rows": one.rows,
                "covers": str(one.covers),
                "p": one.p,
                "p_holm": one.p_holm,
                "p_rows": one.p_rows,
                "p_bh": one.p_bh,
                "verdict": str(one.verdict),
                "smallest_detectable": one.smallest_detectable,
                "first_marked": one.marked[0],
                "second_marked": one.marked[1],
                "reason": one.reason,
            }
            for one in compared
        ],
        dtype=object,
    )


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What follows from the parts of a difference."""

    low: float
    high: float
    p: float
    p_rows: float
    is_equivalent: bool
    smallest_detectable: float


def _measure(pairs: Sequence[Paired], *, level: float, alpha: float, margin: float) -> list[Measured]:
    """Intervals and p-values, all pairs of one shape at a time: thousands of comparisons take a second."""
    shapes: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, pair in enumerate(pairs):
        shapes[pair.parts.seeds, pair.parts.rows].append(index)
    found: dict[int, Measured] = {}
    for (seeds, rows), indices in shapes.items():
        parts = stacked([pairs[index].parts for index in indices])
        half, narrow = half_width(parts, level=level), half_width(parts, level=1 - 2 * ALPHA)
        p_values = p_value(parts)
        if seeds > 1:
            p_rows = p_value(stacked([pairs[index].rows_alone for index in indices]))
        else:
            tables = [pairs[index].disagreements for index in indices]
            p_values = [p if t is None else mcnemar(*t) for p, t in zip(p_values, tables, strict=True)]
            p_rows = p_values
        detectable = smallest_detectable(Variances.of(parts), seeds, rows, alpha=alpha)
        for place, index in enumerate(indices):
            mean = float(parts.mean[place])
            found[index] = Measured(
                low=max(-1.0, mean - float(half[place])),
                high=min(1.0, mean + float(half[place])),
                p=float(p_values[place]),
                p_rows=float(p_rows[place]),
                is_equivalent=bool(abs(mean) + narrow[place] < margin),
                smallest_detectable=float(detectable[place]),
            )
    return [found[index] for index in range(len(pairs))]


def _comparison(first: Estimate, second: Estimate, pair: Paired, measured: Measured, margin: float) -> Comparison:
    parts = pair.parts
    return Comparison(
        column=first.column,
        first=first.arm,
        second=second.arm,
        first_mean=pair.first_mean,
        second_mean=pair.second_mean,
        difference=float(parts.mean),
        low=measured.low,
        high=measured.high,
        seeds=parts.seeds,
        rows=parts.rows,
        covers=Covers.ROWS if parts.seeds == 1 else Covers.SEEDS_AND_ROWS,
        p=measured.p,
        p_holm=None,
        p_rows=measured.p_rows,
        p_bh=None,
        is_equivalent=measured.is_equivalent,
        margin=margin,
        smallest_detectable=measured.smallest_detectable,
        verdict=Verdict.UNDECIDED,
        reason="",
        parts=parts,
        marked=(first.marked, second.marked),
    )


def _not_compared(first: Estimate, second: Estimate, margin: float) -> Comparison:
    missing = [one.arm.title for one in (first, second) if one.answers is None]
    reason = "no seed or no test row in common"
    if missing:
        reason = f"no predictions of {' and '.join(missing)}"
    elif first.answers is not None and second.answers is not None and _are_other_labels(first.answers, second.answers):
        reason = "the test rows that they share have other labels"
    elif first.answers is not None and not first.answers.is_row_mean:
        reason = f"no seed in common, or other test rows: {first.metric} can only be compared on the very same ones"
    return Comparison(
        column=first.column,
        first=first.arm,
        second=second.arm,
        first_mean=first.mean,
        second_mean=second.mean,
        difference=None,
        low=None,
        high=None,
        seeds=0,
        rows=0,
        covers=Covers.NOTHING,
        p=None,
        p_holm=None,
        p_rows=None,
        p_bh=None,
        is_equivalent=False,
        margin=margin,
        smallest_detectable=None,
        verdict=Verdict.NOT_COMPARED,
        reason=reason,
        marked=(first.marked, second.marked),
    )


def _are_other_labels(first: Answers, second: Answers) -> bool:
    rows = common_rows([first.row_ids, second.row_ids])
    return bool(rows) and not first.has_truth_of(second, rows)


def _with_verdicts(
    compared: Sequence[Comparison], alpha: float, *, better: int, least_seeds: int
) -> tuple[Comparison, ...]:
    """The same comparisons with p-values adjusted over all of them, and what follows."""
    tested = [index for index, one in enumerate(compared) if one.p is not None]
    p_values = [one.p for one in compared if one.p is not None]
    holm = dict(zip(tested, adjusted(p_values, "holm"), strict=True))
    rows = dict(
        zip(tested, adjusted([one.p_rows or 0.0 for one in compared if one.p is not None], "holm"), strict=True)
    )
    bh = dict(zip(tested, adjusted(p_values, "fdr_bh"), strict=True))
    return tuple(
        one
        if one.p is None
        else replace(
            one,
            p_holm=float(holm[index]),
            p_rows=float(rows[index]),
            p_bh=float(bh[index]),
            alpha_each=alpha / len(tested),
            better=better,
            verdict=_verdict(one, float(holm[index]), alpha, better) if one.seeds >= least_seeds else one.verdict,
        )
        for index, one in enumerate(compared)
    )


def _verdict(one: Comparison, p_holm: float, alpha: float, better: int) -> Verdict:
    if one.is_equivalent:
        return Verdict.EQUIVALENT
    if p_holm >= alpha or not one.difference:
        return Verdict.UNDECIDED
    return Verdict.FIRST if better * one.difference > 0 else Verdict.SECOND
