"""Average precision of labels under two strategies: bars of the top labels, and a histogram of all differences."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes

from analysis.arms import Estimate, Point
from analysis.figures.canvas import PALETTE, bars, entitle, key, new_axes, rows_height, share_scale, styled, tidy
from analysis.figures.material import Drawing, Drawn, Material, NothingToDraw, limited
from analysis.file_names import slug
from analysis.style import INK, metric_style

METRIC: Final = "average_precision_label"
TOP: Final = 10
_ORDER: Final = ("full", "lora", "qlora", "head")
_NO_PAIR: Final = "no model has two strategies with average precision of labels in one column"


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two strategies of one model in one column, by label."""

    where: str
    names: tuple[str, str]
    values: tuple[Mapping[str, float], Mapping[str, float]]

    @property
    def title(self) -> str:
        """Both strategies, and where."""
        return f"{self.names[0]} and {self.names[1]}: {self.where}"


@styled
def pr_auc_bars(pair: Pair, *, top: int = TOP, axes: Axes | None = None) -> Axes:
    """Bars of the labels with the highest average precision under the first strategy.

    Args:
        pair: two strategies.
        top: labels shown.
        axes: to draw on; None: new ones.
    Returns:
        the axes.
    """
    first, _ = pair.values
    order = sorted(first, key=lambda label: (-first[label], label))[:top]
    axes = axes if axes is not None else new_axes(3.4, rows_height(len(order), 2))
    series = [
        (name, [values.get(label) for label in order]) for name, values in zip(pair.names, pair.values, strict=True)
    ]
    style = metric_style(METRIC)
    bars(axes, order, series, style)
    share_scale(axes, style, along="x")
    tidy(axes, x="average precision (area under the precision-recall curve, %)", grid="x")
    axes.tick_params(axis="y", length=0)
    key(axes, clear=0.45)
    note = "" if len(order) == len(first) else f"the {len(order)} highest of {len(first)} labels under {pair.names[0]}"
    entitle(axes, pair.title, note)
    return axes


@styled
def pr_auc_differences(pair: Pair, *, axes: Axes | None = None) -> Axes:
    """Histogram of the labels' differences, second strategy minus first.

    Args:
        pair: two strategies.
        axes: to draw on; None: new ones.
    Returns:
        the axes.
    """
    first, second = pair.values
    points = [100 * (second[label] - first[label]) for label in first if label in second]
    axes = axes if axes is not None else new_axes(3.6, 2.2)
    reach = max(5.0, 5.0 * np.ceil(max(abs(each) for each in points) / 5.0))
    step = 2.5 if reach <= 25 else 5.0
    axes.hist(points, bins=np.arange(-reach, reach + step, step).tolist(), color=PALETTE[0], edgecolor="#ffffff")
    axes.axvline(0.0, color=INK, linewidth=0.9)
    middle = statistics.median(points)
    axes.axvline(middle, color=PALETTE[1], linewidth=1.4, linestyle=(0, (4, 2)), label=f"median {middle:+.1f}")
    axes.set_xlim(-reach, reach)
    axes.set_ylim(0, None)
    axes.locator_params(axis="y", nbins=5, integer=True)
    higher = sum(each > 0 for each in points)
    tidy(axes, x=f"points of average precision, {pair.names[1]} minus {pair.names[0]}", y="labels")
    key(axes)
    entitle(axes, pair.title, f"{higher} of {len(points)} labels are higher under {pair.names[1]}")
    return axes


def pairs_of(material: Material) -> Iterator[Pair]:
    """Two strategies of every model in the largest column of each kind of data, the one with most labels first."""
    for column in reversed(material.large_columns):
        by_rest: dict[object, list[Estimate]] = {}
        for one in material.arms_in(column, baselines=False):
            by_rest.setdefault(one.arm.without("strategy").key, []).append(one)
        for each in by_rest.values():
            ordered = sorted(each, key=lambda one: _rank(one.arm))
            for first, second in itertools.combinations(ordered, 2):
                pair = _pair(material, column, first, second)
                if pair is not None:
                    yield pair


def _rank(arm: Point) -> int:
    strategy = str(arm["strategy"])
    return _ORDER.index(strategy) if strategy in _ORDER else len(_ORDER)


def _pair(material: Material, column: Point, first: Estimate, second: Estimate) -> Pair | None:
    values = (material.label_means(METRIC, first.cells), material.label_means(METRIC, second.cells))
    if not set(values[0]) & set(values[1]):
        return None
    rest = first.arm.without("strategy")
    named = [rest.title] if any(value is not None for value in rest.values) else []
    return Pair(
        where=", ".join([*named, column.title]),
        names=(str(first.arm["strategy"]), str(second.arm["strategy"])),
        values=values,
    )


def plan_pr_auc(material: Material) -> Drawn:
    """Bars for every pair of strategies."""
    return _plan(list(pairs_of(material)), is_histogram=False)


def plan_pr_auc_differences(material: Material) -> Drawn:
    """A histogram for every pair of strategies."""
    return _plan(list(pairs_of(material)), is_histogram=True)


def _plan(pairs: Sequence[Pair], *, is_histogram: bool) -> Drawn:
    if not pairs:
        raise NothingToDraw(_NO_PAIR)
    pictures = []
    for pair in pairs:

        def draw(pair: Pair = pair) -> Axes:
            return pr_auc_differences(pair) if is_histogram else pr_auc_bars(pair)

        pictures.append(Drawing(part=slug(pair.title), draw=draw))
    return limited(pictures, "pairs of strategies")
