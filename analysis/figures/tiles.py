"""Coloured tiles with texts: the ground of confusion matrices and of heatmaps of differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize, TwoSlopeNorm
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from analysis.figures.canvas import LABEL_SIZE, SMALL_SIZE, entitle, names, new_axes
from analysis.lettering import drawable, width_in
from analysis.style import EMPTY, HATCH, INK, PAPER, QUIET, ink_on


@dataclass(frozen=True, kw_only=True)
class TileTexts:
    """What is written in one tile."""

    main: str
    small: str = ""
    is_hatched: bool = False


def tile_axes(rows: int, columns: int, *, width: float, height: float) -> Axes:
    """New axes that hold tiles of a size in inches."""
    return new_axes(columns * width, rows * height)


def draw_tiles(
    axes: Axes,
    values: NDArray[np.float64],
    texts: Mapping[tuple[int, int], TileTexts],
    *,
    colours: Colormap,
    norm: Normalize,
    size: float = LABEL_SIZE,
) -> None:
    """Fill axes with tiles, first row on top.

    Args:
        axes: to draw on.
        values: [rows, columns]; NaN: grey, not a number.
        texts: by row and column.
        colours: colour map.
        norm: values to colours.
        size: of the numbers, in points.
    Side effects:
        ticks and frame go; rows and columns are named by `name_tiles`.
    """
    rows, columns = values.shape
    axes.pcolormesh(
        np.arange(columns + 1) - 0.5,
        np.arange(rows + 1) - 0.5,
        np.ma.masked_invalid(values),
        cmap=colours,
        norm=norm,
        edgecolors=PAPER,
        linewidth=0.8,
        rasterized=False,
    )
    axes.set_facecolor(EMPTY)
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    for spine in axes.spines.values():
        spine.set_visible(False)
    for (row, column), text in texts.items():
        value = values[row, column]
        ground = EMPTY if np.isnan(value) else colours(float(norm(value)))
        ink = ink_on(ground)
        if text.is_hatched:
            look = {"facecolor": "none", "edgecolor": HATCH if ink == "#000000" else "#ffffff55", "hatch": "///"}
            axes.add_patch(Rectangle((column - 0.49, row - 0.49), 0.98, 0.98, linewidth=0, **look))  # type: ignore[arg-type]
        plate = {"facecolor": ground, "edgecolor": "none", "pad": 0.8} if text.is_hatched else None
        lift = 0.14 if text.small else 0.0
        if text.main:
            axes.text(column, row - lift, text.main, size=size, color=ink, ha="center", va="center", bbox=plate)
        if text.small:
            axes.text(column, row + 0.24, text.small, size=size - 2.0, color=ink, ha="center", va="center", bbox=plate)


def name_tiles(axes: Axes, rows: Sequence[str], columns: Sequence[str], *, down: str = "", across: str = "") -> None:
    """Names of rows on the left and of columns on top, turned where they are too wide."""
    page_width = float(axes.figure.get_size_inches()[0])  # type: ignore[union-attr]
    room = page_width * axes.get_position().width / max(1, len(columns)) - 0.06
    turned = any(width_in(word, SMALL_SIZE) > room for text in columns for word in drawable(text).split())
    shown = names(columns, size=SMALL_SIZE, width=1.5 if turned else room, lines=2 if turned else 4)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xticks(range(len(columns)), shown, size=SMALL_SIZE, rotation=90 if turned else 0)
    axes.set_yticks(range(len(rows)), names(rows, size=SMALL_SIZE), size=SMALL_SIZE)
    axes.tick_params(length=0, pad=3, colors=INK)
    axes.set_xlabel(across, size=LABEL_SIZE, color=QUIET, labelpad=6)
    axes.set_ylabel(down, size=LABEL_SIZE, color=QUIET, labelpad=6)


def title_over_names(axes: Axes, title: str, note: str) -> None:
    """A title above the names of the columns, which may be turned and long."""
    axes.figure.canvas.draw()
    box = axes.get_tightbbox()
    top = axes.get_window_extent().y1
    lift = (box.y1 - top) / axes.figure.dpi if box is not None else 0.0
    entitle(axes, title, note, lift=lift)


def diverging(values: NDArray[np.float64]) -> tuple[Colormap, Normalize]:
    """Orange below zero, white at zero, purple above; equal distances have equal strength on both sides."""
    known = np.abs(values[~np.isnan(values)])
    largest = max(float(known.max()) if known.size else 0.0, 1e-9)
    return matplotlib.colormaps["PuOr"], TwoSlopeNorm(vcenter=0.0, vmin=-largest, vmax=largest)


def sequential() -> tuple[Colormap, Normalize]:
    """White to blue for shares from 0 to 1; empty tiles stay white."""
    return matplotlib.colormaps["Blues"], Normalize(0.0, 1.0)
