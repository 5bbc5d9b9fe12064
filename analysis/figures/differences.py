"""Heatmaps of differences with their intervals: strategy against strategy, and ours against published numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from analysis.arms import Point, columns_of
from analysis.comparing import Comparison
from analysis.figures.canvas import styled
from analysis.figures.material import Drawing, Drawn, Material, NothingToDraw, limited
from analysis.figures.tiles import TileTexts, diverging, draw_tiles, name_tiles, tile_axes, title_over_names
from analysis.file_names import slug
from analysis.lettering import width_in
from analysis.published import against_published


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One tile: a difference in points of 0 to 1, its interval, and whether it is shown."""

    value: float
    low: float | None
    high: float | None
    is_shown: bool


@styled
def difference_heatmap(
    tiles: Mapping[tuple[str, str], Difference],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    note: str = "",
    axes: Axes | None = None,
) -> Axes:
    """Draw differences in points with their intervals; those that are not shown are hatched.

    Args:
        tiles: by row and column.
        rows: in their order.
        columns: in their order.
        title: what is subtracted from what.
        note: how to read it.
        axes: to draw on; None: new ones.
    Returns:
        the axes.
    """
    values = np.full((len(rows), len(columns)), np.nan)
    texts = {}
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            tile = tiles.get((row, column))
            if tile is None:
                texts[i, j] = TileTexts(main="–")
                continue
            values[i, j] = 100 * tile.value
            small = "" if tile.low is None or tile.high is None else f"{100 * tile.low:+.1f} to {100 * tile.high:+.1f}"
            texts[i, j] = TileTexts(main=f"{100 * tile.value:+.1f}", small=small, is_hatched=not tile.is_shown)
    width = max([0.62, *(width_in(text.small, 7.0) + 0.14 for text in texts.values())])
    axes = axes if axes is not None else tile_axes(len(rows), len(columns), width=width, height=0.46)
    colours, norm = diverging(values)
    draw_tiles(axes, values, texts, colours=colours, norm=norm)
    name_tiles(axes, rows, columns)
    title_over_names(axes, title, note)
    return axes


def plan_strategy_differences(material: Material) -> Drawn:
    """One picture for every pair of strategies that some arms share all else with."""
    groups: dict[tuple[str, str], list[Comparison]] = {}
    for one in material.compared:
        if one.difference is not None and one.first.without("strategy").key == one.second.without("strategy").key:
            if one.first["model"] is not None:
                groups.setdefault((str(one.first["strategy"]), str(one.second["strategy"])), []).append(one)
    if not groups:
        raise NothingToDraw("no arms that differ in their strategy alone were compared (comparisons are of accuracy)")
    pictures = []
    for (first, second), each in groups.items():

        def draw(first: str = first, second: str = second, each: Sequence[Comparison] = tuple(each)) -> Axes:
            return _strategies(material, first, second, each)

        pictures.append(Drawing(part=slug(f"{first}-{second}"), draw=draw))
    return limited(pictures, "pairs of strategies")


def _strategies(material: Material, first: str, second: str, each: Sequence[Comparison]) -> Axes:
    tiles = {
        (_rest(one.first), one.column.title): Difference(
            value=one.difference or 0.0, low=one.low, high=one.high, is_shown=one.is_decided
        )
        for one in each
    }
    present = {column for _, column in tiles}
    return difference_heatmap(
        tiles,
        rows=list(dict.fromkeys(row for row, _ in tiles)),
        columns=[column.title for column in columns_of(material.found) if column.title in present],
        title=f"{first} minus {second}: {material.metric.replace('_', ' ')} (points)",
        note="small: 95 % interval; hatched: no difference is shown; purple: higher under the first",
    )


def _rest(arm: Point) -> str:
    return arm.without("strategy").title


def plan_published_differences(material: Material) -> Drawn:
    """Our cells minus the published ones with the same model, strategy, label count and rows."""
    frame = against_published(material.whole) if material.metric == "accuracy" else None
    if frame is None or not len(frame):
        raise NothingToDraw("no arm has the model, strategy, label count and rows of a published cell")
    records: list[dict[str, Any]] = frame.to_dict("records")
    pictures = []
    for same in (True, False):
        chosen = [row for row in records if bool(row["same_rows"]) is same]
        if not chosen:
            continue

        def draw(chosen: Sequence[Mapping[str, Any]] = chosen, same: bool = same) -> Axes:
            return _published(chosen, is_same_rows=same)

        pictures.append(Drawing(part="same-rows" if same else "other-rows", draw=draw))
    return Drawn(pictures=tuple(pictures))


def _published(rows: Sequence[Mapping[str, Any]], *, is_same_rows: bool) -> Axes:
    tiles = {(row["arm"], _column(row)): _published_tile(row) for row in rows}
    places = sorted({(row["num_labels"], row["num_samples"]) for row in rows})
    which = "the same test rows" if is_same_rows else "other test rows than theirs"
    return difference_heatmap(
        tiles,
        rows=list(dict.fromkeys(row["arm"] for row in rows)),
        columns=[f"{labels} labels, {samples} rows" for labels, samples in places],
        title="Our accuracy minus the published one (points)",
        note=f"on {which}; small: 95 % interval; hatched: it contains zero; purple: ours is higher",
    )


def _column(row: Mapping[str, Any]) -> str:
    return f"{row['num_labels']} labels, {row['num_samples']} rows"


def _published_tile(row: Mapping[str, Any]) -> Difference:
    low, high = row["low"], row["high"]
    is_shown = low is not None and high is not None and (low > 0 or high < 0)
    return Difference(value=row["difference"], low=low, high=high, is_shown=is_shown)
