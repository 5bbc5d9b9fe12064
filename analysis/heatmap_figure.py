"""Draw one heatmap: colours by seaborn; numbers, signs, headers and legend on a page measured in inches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import QuadMesh
from matplotlib.colors import Normalize, to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis import heatmap_layout as place
from analysis.aggregate import Key, Pivot, Status
from analysis.heatmap_layout import GAP, MARGIN, NOTE_SIZE, SMALL_SIZE, HeadLine, Layout, TileText
from analysis.heatmap_notes import LegendEntry, footnotes, legend_entries
from analysis.heatmap_standing import Judged, standings_shown
from analysis.lettering import height_in, wrapped
from analysis.report_standing import Standing
from analysis.style import EMPTY, HATCH, INK, PAPER, QUIET, MetricStyle, ink_on, metric_style

HATCHES = {Status.FAILED: "xxxx", Status.NOT_RUN: "///", Status.UNDEFINED: "...."}
TIED_HATCH = "///"
TIED_ON_LIGHT = "#00000030"
TIED_ON_DARK = "#ffffff55"
_SWATCH_WIDTH = 0.62
_SWATCH_HEIGHT = 0.21
_BAR_WIDTH = 2.2
_BAR_HEIGHT = 0.13


@dataclass(frozen=True, kw_only=True)
class _Page:
    """A figure, and axes over all of it whose units are inches from the upper left corner."""

    figure: Figure
    paper: Axes
    width: float
    height: float

    def axes_at(self, left: float, top: float, width: float, height: float) -> Axes:
        """New axes at a place given in inches."""
        bottom = self.height - top - height
        box = (left / self.width, bottom / self.height, width / self.width, height / self.height)
        return self.figure.add_axes(box)


def draw(pivot: Pivot, *, title: str, judged: Mapping[tuple[Key, Key], Judged] | None = None) -> Figure:
    """Draw a pivot; call it inside `analysis.style.figure_settings`.

    Args:
        pivot: at least one row and one column.
        title: the first line of the figure.
        judged: intervals, and which arms cannot be told from the best of their column; None: spreads alone.
    Returns:
        a figure whose size follows from its content.
    """
    style = metric_style(pivot.metric)
    known = judged or {}
    layout = place.lay_out(pivot, style, title=title, judged=known)
    standing = standings_shown(known.values())
    entries = [_Fitted.of(entry, layout.content_width) for entry in legend_entries(pivot, standing)]
    notes = wrapped("\n".join(footnotes(pivot)), NOTE_SIZE, layout.content_width) if footnotes(pivot) else ""
    numbers = [tile.mean for tile in pivot.tiles.values() if tile.mean is not None]
    grid_bottom = layout.grid_top + layout.grid_height
    bar_height = 0.46 if numbers else 0.0
    legend_top = grid_bottom + 0.18 + bar_height
    notes_top = legend_top + sum(entry.height for entry in entries)
    page = _new_page(layout.width, notes_top + (height_in(notes, NOTE_SIZE) if notes else 0.0) + MARGIN)

    norm = Normalize(*style.limits(numbers))
    mesh = _colours(page, pivot, layout, style, norm)
    _headings(page, layout)
    _row_labels(page, layout)
    _tiles(page, pivot, layout, style, norm, known)
    _separators(page, pivot, layout)
    if numbers:
        _colour_bar(page, mesh, style, grid_bottom + 0.18)
    _legend(page, entries, legend_top)
    page.paper.text(MARGIN, notes_top + 0.04, notes, size=NOTE_SIZE, color=QUIET, va="top", linespacing=1.25)
    return page.figure


def _new_page(width: float, height: float) -> _Page:
    figure = Figure(figsize=(width, height), facecolor=PAPER)
    FigureCanvasAgg(figure)
    paper = figure.add_axes((0.0, 0.0, 1.0, 1.0), zorder=10)
    paper.set_xlim(0, width)
    paper.set_ylim(height, 0)
    paper.axis("off")
    return _Page(figure=figure, paper=paper, width=width, height=height)


def _colours(page: _Page, pivot: Pivot, layout: Layout, style: MetricStyle, norm: Normalize) -> QuadMesh:
    means = [[pivot.tile(row, col).mean for col in pivot.cols] for row in pivot.rows]
    values = np.array([[math.nan if mean is None else mean for mean in line] for line in means], dtype=float)
    axes = page.axes_at(layout.grid_left, layout.grid_top, layout.grid_width, layout.grid_height)
    sns.heatmap(
        values,
        mask=np.isnan(values),
        ax=axes,
        cmap=style.colours,
        vmin=norm.vmin,
        vmax=norm.vmax,
        cbar=False,
        xticklabels=False,
        yticklabels=False,
        linewidths=1.0,
        linecolor=PAPER,
    )
    (mesh,) = (child for child in axes.collections if isinstance(child, QuadMesh))
    return mesh


def _headings(page: _Page, layout: Layout) -> None:
    paper = page.paper
    paper.text(MARGIN, MARGIN, layout.title, size=place.TITLE_SIZE, weight="bold", va="top", linespacing=1.25)
    below = MARGIN + height_in(layout.title, place.TITLE_SIZE) + 0.3 * GAP
    paper.text(MARGIN, below, layout.subtitle, size=place.SUBTITLE_SIZE, color=QUIET, va="top", linespacing=1.25)
    top = layout.grid_top - 0.04 - sum(line.height for line in layout.heads)
    for line in layout.heads:
        _head_line(page, layout, line, top)
        top += line.height


def _head_line(page: _Page, layout: Layout, line: HeadLine, top: float) -> None:
    bottom = top + line.height - 0.03
    size = SMALL_SIZE + 1 if line.is_quiet else place.HEAD_SIZE
    for span in line.spans:
        centre = layout.grid_left + (span.first + span.last + 1) / 2 * layout.tile_width
        page.paper.text(
            centre,
            bottom,
            span.text,
            size=size,
            color=QUIET if line.is_quiet else INK,
            ha="center",
            va="bottom",
            rotation=90 if line.turned else 0,
        )
    name_left = layout.grid_left - GAP
    page.paper.text(name_left, bottom, line.name, size=SMALL_SIZE + 1, color=QUIET, ha="right", va="bottom")


def _row_labels(page: _Page, layout: Layout) -> None:
    right = layout.grid_left - GAP
    for number, (label, note) in enumerate(zip(layout.row_labels, layout.row_notes, strict=True)):
        middle = layout.grid_top + (number + 0.5) * layout.tile_height
        shift = height_in(note, SMALL_SIZE) / 2 if note else 0.0
        page.paper.text(right, middle - shift, label, size=place.LABEL_SIZE, ha="right", va="center", linespacing=1.1)
        if note:
            lower = middle + height_in(label, place.LABEL_SIZE) / 2
            page.paper.text(right, lower, note, size=SMALL_SIZE, color=QUIET, ha="right", va="center")


def _tiles(
    page: _Page,
    pivot: Pivot,
    layout: Layout,
    style: MetricStyle,
    norm: Normalize,
    judged: Mapping[tuple[Key, Key], Judged],
) -> None:
    colours = style.colours
    for x, y, row, col in _places(pivot, layout):
        tile = pivot.tile(row, col)
        own = judged.get((row, col), Judged())
        text = place.tile_text(tile, style, layout.usual_count, own)
        if tile.status in HATCHES:
            _hatched(page.paper, x, y, layout.tile_width, layout.tile_height, HATCHES[tile.status])
        ground = EMPTY if tile.mean is None else to_hex(colours(float(norm(tile.mean))))
        is_tied = own.standing is Standing.TIED and tile.mean is not None
        if is_tied:
            _tied(page.paper, x, y, layout, ground)
        ink = INK if tile.mean is None else ink_on(ground)
        plate = ground if is_tied or tile.status in HATCHES else None
        _write(page.paper, text, x, y, layout, ink=ink, plate=plate)


def _places(pivot: Pivot, layout: Layout) -> Iterator[tuple[float, float, Key, Key]]:
    for i, row in enumerate(pivot.rows):
        for j, col in enumerate(pivot.cols):
            yield layout.grid_left + j * layout.tile_width, layout.grid_top + i * layout.tile_height, row, col


def _tied(paper: Axes, x: float, y: float, layout: Layout, ground: str) -> None:
    """Thin lines across a tile that cannot be told from the best of its column."""
    edge = 0.014
    line = TIED_ON_LIGHT if ink_on(ground) == "#000000" else TIED_ON_DARK
    width, height = layout.tile_width - 2 * edge, layout.tile_height - 2 * edge
    paper.add_patch(
        Rectangle(
            (x + edge, y + edge), width, height, facecolor="none", edgecolor=line, hatch=TIED_HATCH, linewidth=0.0
        )
    )


def _hatched(paper: Axes, x: float, y: float, width: float, height: float, hatch: str) -> None:
    edge = 0.014  # leaves the white line between tiles free
    paper.add_patch(
        Rectangle(
            (x + edge, y + edge),
            width - 2 * edge,
            height - 2 * edge,
            facecolor=EMPTY,
            edgecolor=HATCH,
            hatch=hatch,
            linewidth=0.0,
        )
    )


def _write(paper: Axes, text: TileText, x: float, y: float, layout: Layout, *, ink: str, plate: str | None) -> None:
    """Number or sign with its small lines, centred as one block in the tile; on hatches they stand on a plate."""
    main_height = 0.9 * height_in("x", place.NUMBER_SIZE)
    small_height = 0.95 * height_in("x", SMALL_SIZE)
    block = main_height + len(text.small) * small_height
    centre, top = x + layout.tile_width / 2, y + (layout.tile_height - block) / 2
    ground = {"facecolor": plate, "edgecolor": "none", "pad": 0.6} if plate is not None else None
    middle = top + main_height / 2
    paper.text(centre, middle, text.main, size=place.NUMBER_SIZE, color=ink, ha="center", va="center", bbox=ground)
    for number, line in enumerate(text.small):
        middle = top + main_height + (number + 0.5) * small_height
        paper.text(centre, middle, line, size=SMALL_SIZE, color=ink, ha="center", va="center", bbox=ground)
    if text.sign:
        corner = (x + 0.05, y + 0.03)
        paper.text(*corner, text.sign, size=place.SMALL_SIZE + 0.5, color=ink, ha="left", va="top", bbox=ground)
    if text.is_marked:
        paper.text(
            x + layout.tile_width - 0.05,
            y + 0.03,
            place.MARK_SIGN,
            size=place.NUMBER_SIZE,
            weight="bold",
            color=ink,
            ha="right",
            va="top",
        )


def _separators(page: _Page, pivot: Pivot, layout: Layout) -> None:
    """Wider white lines between groups of columns, and around baselines."""
    right, bottom = layout.grid_left + layout.grid_width, layout.grid_top + layout.grid_height
    for j in range(1, len(pivot.cols)):
        before, after = pivot.cols[j - 1], pivot.cols[j]
        new_group = len(after) > 1 and before[0] != after[0]
        if new_group or (before in pivot.baseline_cols) != (after in pivot.baseline_cols):
            x = layout.grid_left + j * layout.tile_width
            page.paper.plot([x, x], [layout.grid_top, bottom], color=PAPER, linewidth=4.0, solid_capstyle="butt")
    for i in range(1, len(pivot.rows)):
        if (pivot.rows[i - 1] in pivot.baseline_rows) != (pivot.rows[i] in pivot.baseline_rows):
            y = layout.grid_top + i * layout.tile_height
            page.paper.plot([layout.grid_left, right], [y, y], color=PAPER, linewidth=4.0, solid_capstyle="butt")
            page.paper.plot([MARGIN, right], [y, y], color=QUIET, linewidth=0.8, solid_capstyle="butt")


def _colour_bar(page: _Page, mesh: QuadMesh, style: MetricStyle, top: float) -> None:
    axes = page.axes_at(MARGIN + 0.1, top, _BAR_WIDTH, _BAR_HEIGHT)
    bar = page.figure.colorbar(mesh, cax=axes, orientation="horizontal")
    low, high = mesh.get_clim()
    ticks = [low + share * (high - low) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    bar.set_ticks(ticks, labels=[f"{100 * tick:.0f}" if style.is_share else style.text(tick) for tick in ticks])
    axes.tick_params(labelsize=SMALL_SIZE, length=2, width=0.6, pad=1.5)
    bar.outline.set_linewidth(0.4)
    wording = f"{place.axis_text(style.name)}{style.unit}" + (f", {style.better} is better" if style.better else "")
    page.paper.text(MARGIN + 0.1 + _BAR_WIDTH + 0.2, top + _BAR_HEIGHT / 2, wording, size=NOTE_SIZE, va="center")


@dataclass(frozen=True, kw_only=True)
class _Fitted:
    """A legend entry with its text broken to the width of the page."""

    entry: LegendEntry
    text: str
    height: float

    @classmethod
    def of(cls, entry: LegendEntry, content_width: float) -> _Fitted:
        """Break the text beside the swatch."""
        text = wrapped(entry.text, NOTE_SIZE, content_width - _SWATCH_WIDTH - GAP)
        return cls(entry=entry, text=text, height=max(_SWATCH_HEIGHT, height_in(text, NOTE_SIZE)) + 0.03)


def _legend(page: _Page, entries: list[_Fitted], top: float) -> None:
    for fitted in entries:
        status = fitted.entry.status
        if status in HATCHES:
            _hatched(page.paper, MARGIN, top, _SWATCH_WIDTH, _SWATCH_HEIGHT, HATCHES[status])
        elif fitted.entry.is_tied:
            _hatched(page.paper, MARGIN, top, _SWATCH_WIDTH, _SWATCH_HEIGHT, TIED_HATCH)
        elif status is Status.NOT_DECLARED:
            frame = Rectangle(
                (MARGIN, top), _SWATCH_WIDTH, _SWATCH_HEIGHT, facecolor=PAPER, edgecolor=HATCH, linewidth=0.6
            )
            page.paper.add_patch(frame)
        is_hatched = status in HATCHES or fitted.entry.is_tied
        ground = {"facecolor": EMPTY, "edgecolor": "none", "pad": 0.6} if is_hatched else None
        middle = top + _SWATCH_HEIGHT / 2
        page.paper.text(
            MARGIN + _SWATCH_WIDTH / 2, middle, fitted.entry.sign, size=NOTE_SIZE, ha="center", va="center", bbox=ground
        )
        lift = (height_in(fitted.text, NOTE_SIZE) - height_in("x", NOTE_SIZE)) / 2
        page.paper.text(
            MARGIN + _SWATCH_WIDTH + GAP, middle + lift, fitted.text, size=NOTE_SIZE, va="center", linespacing=1.25
        )
        top += fitted.height
