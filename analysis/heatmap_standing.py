"""What a heatmap says of its tiles beyond means: intervals, and which arms cannot be told from the best of a column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.aggregate import NAMING_AXES, OWN_AXES, Key, Pivot
from analysis.answers import best_arms
from analysis.arms import Estimate, estimates
from analysis.loading import COST_SPLIT, Results
from analysis.report_numbers import SPLIT, compared_pairs
from analysis.report_standing import Place, Standing, standings
from analysis.style import metric_style


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One tile: its interval, and where its arm stands in its column."""

    low: float | None = None
    high: float | None = None
    standing: Standing | None = None


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Estimates of one metric with their standings."""

    found: tuple[Estimate, ...]
    standing: Mapping[Place, Standing]


def evidence_of(results: Results, metric: str, split: str) -> Evidence:
    """Work out intervals, and standings where arms can be compared.

    Args:
        results: a loaded store.
        metric: of the heatmap.
        split: of the heatmap.
    Returns:
        the evidence; without standings for metrics that no test compares, and for costs nothing at all.
    """
    if split == COST_SPLIT:
        return Evidence(found=(), standing={})
    found = estimates(results, metric=metric, split=split)
    compared = compared_pairs(found)[0] if split == SPLIT and metric_style(metric).better == "higher" else ()
    standing = standings(best_arms(found, compared), compared) if compared else {}
    return Evidence(found=found, standing=standing)


def judged_tiles(
    shown: Pivot, evidence: Evidence, *, arm: Mapping[str, Any] | None = None
) -> dict[tuple[Key, Key], Judged]:
    """What is known of the tiles of a heatmap in which every tile is one arm in one column of data.

    Args:
        shown: the heatmap.
        evidence: of the same store and metric.
        arm: values that the arm of the whole heatmap has on axes that are neither row nor column; None: any.
    Returns:
        by row and column; a tile that is the mean over several arms is left out.
    """
    places: dict[tuple[Key, Key], list[Estimate]] = {}
    for one in evidence.found:
        if arm is None or (not one.is_baseline and all(one.arm[axis] == value for axis, value in arm.items())):
            place = (_key(one, shown.row_axes), _key(one, shown.col_axes))
            places.setdefault(place, []).append(one)
    judged = {}
    for place, here in places.items():
        if len(here) == 1 and here[0].mean is not None and len(shown.tile(*place).numbers) == len(here[0].seeds):
            one = here[0]
            standing = evidence.standing.get((one.arm.key, one.column.key))
            judged[place] = Judged(low=one.low, high=one.high, standing=standing)
    return judged


def _key(one: Estimate, axes: Sequence[str]) -> Key:
    return tuple(_value(one, axis) for axis in axes)


def _value(one: Estimate, axis: str) -> Any:
    """The value of an arm on an axis as a heatmap writes it: a baseline goes by its strategy."""
    if one.is_baseline and axis not in OWN_AXES:
        return one.arm["strategy"] if axis in NAMING_AXES else None
    return one.arm[axis] if axis in one.arm.axes else one.column[axis]


def standings_shown(judged: Iterable[Judged]) -> frozenset[Standing]:
    """The standings that occur, for the legend."""
    return frozenset(one.standing for one in judged if one.standing is not None)
