"""The one look of all figures: axes in inches, colours and dashes that survive grey printing, bars from zero."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, Final, ParamSpec, TypeVar

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from analysis.lettering import distinct, drawable, height_in, wrapped
from analysis.style import INK, PAPER, QUIET, MetricStyle, figure_settings, tick_text

TITLE_SIZE: Final = 11.0
LABEL_SIZE: Final = 9.0
SMALL_SIZE: Final = 8.0
BAR_HEIGHT: Final = 0.2
"""Inches of one bar."""
NARROW_BAR_HEIGHT: Final = 0.15
"""Of one of several bars in a row."""
WIDEST_NAME: Final = 2.6
"""Inches; longer names of rows and lines are wrapped, then shortened in the middle."""
PALETTE: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#7a5c00", "#56b4e9", "#5c5c5c", "#000000")
"""Okabe and Ito, safe for the colour-blind; dashes, markers and hatches tell apart what colours do not."""
DASHES: Final[tuple[Any, ...]] = ("solid", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "*")
HATCHES: Final = ("", "////", "....", "xxxx")
MOST_LINES: Final = 12
"""Lines or bars side by side that a reader can still tell apart."""
_GRID: Final = "#dddddd"

P = ParamSpec("P")
R = TypeVar("R")


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Draw with our settings, whatever the caller's matplotlibrc says; texts are never read as formulas."""

    @functools.wraps(draw)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R:
        with figure_settings():
            return draw(*args, **kwargs)

    return inside


def new_figure(width: float, height: float) -> Figure:
    """An empty page; what is saved is cut to its content, so nothing on it can be cut off."""
    figure = Figure(figsize=(width, height), facecolor=PAPER)
    FigureCanvasAgg(figure)
    return figure


def new_axes(width: float, height: float) -> Axes:
    """Axes of a size in inches on a page of their own."""
    (axes,) = new_panels([(width, height)], columns=1)
    return axes


def new_panels(
    sizes: Sequence[tuple[float, float]], *, columns: int, gap: tuple[float, float] = (0.7, 0.75)
) -> list[Axes]:
    """Axes of equal or different sizes in rows, with room between them for their ticks and names.

    Args:
        sizes: width and height of each panel, in inches.
        columns: panels in a row.
        gap: inches between columns and between rows.
    Returns:
        the axes, row by row.
    """
    columns = min(columns, len(sizes))
    rows = math.ceil(len(sizes) / columns)
    widest, tallest = max(width for width, _ in sizes), max(height for _, height in sizes)
    page_width = columns * widest + (columns - 1) * gap[0]
    page_height = rows * tallest + (rows - 1) * gap[1]
    figure = new_figure(page_width, page_height)
    found = []
    for place, (width, height) in enumerate(sizes):
        left = (place % columns) * (widest + gap[0])
        top = (place // columns) * (tallest + gap[1])
        box = (left / page_width, 1 - (top + height) / page_height, width / page_width, height / page_height)
        found.append(figure.add_axes(box))
    return found


def width_of(axes: Axes) -> float:
    """Inches from the left to the right end of axes."""
    return float(axes.get_position().width * axes.get_figure(root=True).get_size_inches()[0])  # type: ignore[union-attr]


def entitle(axes: Axes, title: str, note: str = "", *, lift: float = 0.0) -> None:
    """A title over axes and those right of them, broken to their width, and a quieter line under it.

    Args:
        axes: the left ones of their row.
        title: what is shown.
        note: what must be known to read it.
        lift: inches between the axes and the note that something else takes.
    """
    page = axes.figure
    width = page.get_size_inches()[0]  # type: ignore[union-attr]
    room = max((1 - axes.get_position().x0) * float(width), 3.6)
    lift = 0.06 + max(lift, _titles_height(axes))
    if note:
        lower = wrapped(drawable(note), SMALL_SIZE, room, max_lines=4)
        _over(axes, lower, lift, size=SMALL_SIZE, color=QUIET)
        lift += height_in(lower, SMALL_SIZE) + 0.03
    upper = wrapped(drawable(title), TITLE_SIZE * 1.08, room, max_lines=3)
    _over(axes, upper, lift, size=TITLE_SIZE, color=INK, weight="bold")


def _titles_height(axes: Axes) -> float:
    """Inches that the small titles of axes in the same row take."""
    top = axes.get_position().y1
    row = [other for other in axes.figure.axes if abs(other.get_position().y1 - top) < 1e-6]
    titles = [other.get_title(loc="left") for other in row]
    return max((height_in(text, LABEL_SIZE) + 0.08 for text in titles if text), default=0.0)


def _over(axes: Axes, text: str, lift: float, **look: Any) -> None:
    axes.annotate(
        text,
        (0, 1),
        xytext=(0, lift * 72.0),
        xycoords="axes fraction",
        textcoords="offset points",
        va="bottom",
        linespacing=1.2,
        annotation_clip=False,
        **look,
    )


def tidy(axes: Axes, *, x: str = "", y: str = "", grid: str = "y") -> None:
    """Quiet frame, names of the axes, lines behind the data across the measured direction."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#8a8a8a")
    axes.tick_params(labelsize=SMALL_SIZE, colors=INK, length=3, width=0.6, color="#8a8a8a")
    axes.set_axisbelow(True)
    if grid:
        axes.grid(axis=grid, color=_GRID, linewidth=0.7)  # type: ignore[arg-type]
    axes.set_xlabel(drawable(x), size=LABEL_SIZE, color=INK)
    axes.set_ylabel(drawable(y), size=LABEL_SIZE, color=INK)


def names(texts: Sequence[str], *, size: float = LABEL_SIZE, width: float = WIDEST_NAME, lines: int = 2) -> list[str]:
    """Names as figures write them: drawable, two lines at most, and still different from each other."""
    shown = [wrapped(drawable(text) or "(empty)", size, width, max_lines=lines) for text in texts]
    return distinct(shown)


def name_rows(axes: Axes, texts: Sequence[str]) -> None:
    """Write names beside rows 0, 1, ... of axes, the first row on top."""
    axes.set_yticks(range(len(texts)), names(texts), size=SMALL_SIZE)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(texts) - 0.5, -0.5)


def share_scale(axes: Axes, style: MetricStyle, *, along: str) -> None:
    """From 0 to 100 % for shares; from zero for everything else that has no negative values."""
    limits, axis = (axes.set_xlim, axes.xaxis) if along == "x" else (axes.set_ylim, axes.yaxis)
    low, high = axes.get_xlim() if along == "x" else axes.get_ylim()
    if style.is_share:
        limits(0.0, 1.0)
        axis.set_ticks([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], labels=["0", "20", "40", "60", "80", "100"])
        return
    limits(min(0.0, low), max(high, 1e-12))
    axis.set_major_formatter(lambda value, _: tick_text(value))


def label_of(text: str) -> str:
    """A name for the legend; matplotlib would leave out one that begins with an underscore."""
    shown = drawable(text) or "(empty)"
    return f" {shown}" if shown.startswith("_") else shown


def key(axes: Axes, *, of: Axes | None = None, clear: float = 0.1) -> None:
    """The legend, `clear` inches right of the axes, where it covers no data; of other axes where they say more."""
    handles, labels = (of or axes).get_legend_handles_labels()
    if not handles:
        return
    axes.legend(
        handles,
        names(labels, size=SMALL_SIZE),
        loc="upper left",
        bbox_to_anchor=(1.0 + clear / width_of(axes), 1.0),
        borderaxespad=0.0,
        frameon=False,
        fontsize=SMALL_SIZE,
        handlelength=2.6,
        labelspacing=0.55,
    )


def colour(place: int) -> str:
    """The colour of the line or bar at a place."""
    return PALETTE[place % len(PALETTE)]


def marker(place: int) -> str:
    """The marker of a point at a place; with its colour no two of the first 64 are alike."""
    return MARKERS[(place + place // len(PALETTE)) % len(MARKERS)]


def line_look(place: int) -> dict[str, Any]:
    """Colour, dashes and marker of the line at a place; no two of the first 32 are alike."""
    return {
        "color": colour(place),
        "linestyle": DASHES[(place + place // len(PALETTE)) % len(DASHES)],
        "marker": marker(place),
        "linewidth": 1.4,
        "markersize": 4.0,
    }


def bar_look(place: int) -> dict[str, Any]:
    """Colour and hatch of the bars at a place."""
    return {"color": colour(place), "hatch": HATCHES[place % len(HATCHES)], "edgecolor": PAPER, "linewidth": 0.4}


@styled
def bars(
    axes: Axes, rows: Sequence[str], series: Sequence[tuple[str, Sequence[float | None]]], style: MetricStyle
) -> Axes:
    """Horizontal bars from zero, one group a row, with the number behind each bar.

    Args:
        axes: to draw on.
        rows: names of the rows.
        series: name and values of the bars side by side; None: no bar, and a dash.
        style: how a number is written.
    Returns:
        the same axes.
    """
    thickness = 0.8 / max(1, len(series))
    known = [value for _, values in series for value in values if value is not None]
    longest = 1.0 if style.is_share else max([*known, 0.0]) or 1.0
    for place, (label, values) in enumerate(series):
        places = [row - 0.4 + (place + 0.5) * thickness for row in range(len(rows))]
        lengths = [0.0 if value is None else value for value in values]
        axes.barh(places, lengths, height=0.92 * thickness, label=label_of(label), **bar_look(place))
        for y, value in zip(places, values, strict=True):
            text = "–" if value is None else style.text(value)
            x = max(0.0, value or 0.0) + 0.012 * longest
            axes.text(x, y, text, size=SMALL_SIZE - 0.5, color=INK, va="center", ha="left", clip_on=False)
    axes.set_xlim(0, longest * (1.0 if style.is_share else 1.05))
    name_rows(axes, rows)
    return axes


def rows_height(rows: int, per_row: int = 1, *, least: float = 0.5) -> float:
    """Inches that a number of rows of bars takes."""
    thickness = BAR_HEIGHT if per_row <= 1 else NARROW_BAR_HEIGHT * per_row
    return max(least, rows * (thickness + 0.08))
