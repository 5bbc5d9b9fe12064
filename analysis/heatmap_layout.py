"""Where everything of a heatmap stands, in inches from the upper left corner, computed from the texts themselves."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from analysis.aggregate import NAMING_AXES, Key, Pivot, Status, Tile
from analysis.heatmap_standing import Judged
from analysis.lettering import distinct, drawable, height_in, width_in, wrapped
from analysis.report_standing import Standing
from analysis.style import MetricStyle, short_setting

TITLE_SIZE: Final = 13.0
SUBTITLE_SIZE: Final = 9.0
LABEL_SIZE: Final = 9.5
HEAD_SIZE: Final = 9.5
NUMBER_SIZE: Final = 11.0
SMALL_SIZE: Final = 7.5
NOTE_SIZE: Final = 8.5

MARGIN: Final = 0.2
GAP: Final = 0.1
_LEAST_CONTENT_WIDTH: Final = 5.2
_LEAST_TILE_WIDTH: Final = 0.62
_WIDEST_ROW_LABEL: Final = 2.5
_TALLEST_TURNED_HEAD: Final = 1.7
_CHANCE_METRICS: Final = ("accuracy", "balanced_accuracy")

FAILED_SIGN: Final = "✗"
NOT_RUN_SIGN: Final = "⋯"
UNDEFINED_SIGN: Final = "∅"
MARK_SIGN: Final = "*"
BEST_SIGN: Final = "★"
TIED_SIGN: Final = "≈"
MODELS_SIGN: Final = "?"
STANDING_SIGNS: Final = {Standing.BEST: BEST_SIGN, Standing.TIED: TIED_SIGN, Standing.MODELS: MODELS_SIGN}
"""Signs of arms beside the best of their column; one that is shown to be worse has none."""
_NOT_JUDGED: Final = Judged()


@dataclass(frozen=True, kw_only=True)
class TileText:
    """What is written in one tile, from top to bottom."""

    main: str
    small: tuple[str, ...] = ()
    is_marked: bool = False
    sign: str = ""
    """Where the arm stands in its column; empty where it is shown to be worse, or nothing is known."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """One header over neighbouring columns `first` to `last`."""

    text: str
    first: int
    last: int


@dataclass(frozen=True, kw_only=True)
class HeadLine:
    """One line of headers: an axis of the columns, or the chance level under the number of labels."""

    name: str
    spans: tuple[Span, ...]
    turned: bool
    height: float
    is_quiet: bool = False


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Sizes and texts of one figure."""

    title: str
    subtitle: str
    heads: tuple[HeadLine, ...]
    row_labels: tuple[str, ...]
    row_notes: tuple[str, ...]
    """Small second line of a row label (its chance level), or empty."""
    tile_width: float
    tile_height: float
    grid_left: float
    grid_top: float
    content_width: float
    """Width for title and notes, margins aside."""
    usual_count: int
    """Declared cells of most tiles; tiles with another count say so."""

    @property
    def grid_width(self) -> float:
        """Width of all columns."""
        return max((span.last + 1 for line in self.heads for span in line.spans), default=0) * self.tile_width

    @property
    def grid_height(self) -> float:
        """Height of all rows."""
        return len(self.row_labels) * self.tile_height

    @property
    def width(self) -> float:
        """Width of the figure."""
        return self.content_width + 2 * MARGIN


def lay_out(
    pivot: Pivot, style: MetricStyle, *, title: str, judged: Mapping[tuple[Key, Key], Judged] | None = None
) -> Layout:
    """Measure all texts and place the grid so that none is cut and none touches another.

    Args:
        pivot: rows, columns and tiles.
        style: how the metric is written.
        title: what the figure shows; may be of any length.
        judged: intervals and standings of tiles.
    Returns:
        the layout of everything above and beside the grid; notes under it follow from `content_width`.
    """
    usual = _usual_count(pivot)
    known = judged or {}
    places = [(row, col) for row in pivot.rows for col in pivot.cols]
    texts = [tile_text(pivot.tile(*place), style, usual, known.get(place, _NOT_JUDGED)) for place in places]
    tile_width = _tile_width(texts)
    most_lines = max((len(text.small) for text in texts), default=0)
    row_labels, row_notes = _row_labels(pivot)
    heads = _heads(pivot, tile_width)
    label_width = max(
        *(width_in(label, LABEL_SIZE) for label in row_labels),
        *(width_in(note, SMALL_SIZE) for note in row_notes),
        *(width_in(line.name, SMALL_SIZE + 1) for line in heads),
    )
    content_width = max(label_width + GAP + len(pivot.cols) * tile_width, _LEAST_CONTENT_WIDTH)
    title = wrapped(drawable(title), TITLE_SIZE * 1.06, content_width, max_lines=3)
    subtitle = wrapped(_subtitle(pivot, usual, known.values()), SUBTITLE_SIZE, content_width)
    above = MARGIN + height_in(title, TITLE_SIZE) + height_in(subtitle, SUBTITLE_SIZE) + 1.6 * GAP
    label_height = max(
        height_in(label, LABEL_SIZE) + (height_in(note, SMALL_SIZE) if note else 0)
        for label, note in zip(row_labels, row_notes, strict=True)
    )
    return Layout(
        title=title,
        subtitle=subtitle,
        heads=heads,
        row_labels=row_labels,
        row_notes=row_notes,
        tile_width=tile_width,
        tile_height=max(0.46 + 0.12 * max(0, most_lines - 1), label_height + 0.08),
        grid_left=MARGIN + label_width + GAP,
        grid_top=above + sum(line.height for line in heads) + 0.04,
        content_width=content_width,
        usual_count=usual,
    )


def tile_text(tile: Tile, style: MetricStyle, usual_count: int, judged: Judged = _NOT_JUDGED) -> TileText:
    """What a tile says: number and interval or spread, or the sign and word for why there is none."""
    marked = tile.marked > 0
    count = f"n={len(tile.numbers)}/{tile.declared}" if len(tile.numbers) < tile.declared else f"n={tile.declared}"
    if tile.mean is not None:
        small = [] if tile.sd is None else [f"±{style.text(tile.sd)}"]
        if judged.low is not None and judged.high is not None:
            small = [f"{style.text(judged.low)}–{style.text(judged.high)}"]
        if tile.failed:
            count = f"{count} {FAILED_SIGN}"
        if len(tile.numbers) != usual_count:
            small.append(count)
        sign = "" if judged.standing is None else STANDING_SIGNS.get(judged.standing, "")
        return TileText(main=style.text(tile.mean), small=tuple(small), is_marked=marked, sign=sign)
    signs = {
        Status.FAILED: (FAILED_SIGN, "failed"),
        Status.UNDEFINED: (UNDEFINED_SIGN, "undefined"),
        Status.NOT_RUN: (NOT_RUN_SIGN, "not run"),
    }
    if tile.status not in signs:
        return TileText(main="")
    sign, word = signs[tile.status]
    return TileText(main=sign, small=(word,), is_marked=marked)


def chance_level(pivot: Pivot, num_labels: Any) -> float | None:
    """Share of right answers by guessing, where it is known: one over the number of balanced labels."""
    if not pivot.balanced or pivot.metric not in _CHANCE_METRICS or not num_labels:
        return None
    return 1.0 / float(num_labels)


def value_text(axis: str, value: Any) -> str:
    """One value of an axis, for people."""
    if value is None:
        return {"num_labels": "all", "num_samples": "all", "variant": "as declared"}.get(axis, "–")
    if isinstance(value, float):
        return short_setting(value)
    return " ".join(drawable(str(value)).split()) or "(empty)"


@functools.lru_cache(maxsize=1024)
def axis_text(axis: str) -> str:
    """An axis, for people."""
    names = {"num_labels": "labels", "num_samples": "training rows"}
    return names.get(axis) or " ".join(drawable(axis.replace("_", " ")).split())


def key_text(axes: Sequence[str], key: Key, *, is_baseline: bool) -> str:
    """A row in one line: `bert-base · qlora`, `4 labels · 800 training rows`, `majority (baseline)`."""
    parts = []
    for axis, value in zip(axes, key, strict=True):
        if is_baseline and (value is None or (axis in NAMING_AXES and str(value) in parts)):
            continue
        text = value_text(axis, value)
        if axis in ("num_labels", "num_samples"):
            text = f"{text} {axis_text(axis)}"
        elif isinstance(value, int | float) or value is None:
            text = f"{axis_text(axis)} {text}"
        parts.append(text)
    return " · ".join(parts) + (" (baseline)" if is_baseline else "")


def _usual_count(pivot: Pivot) -> int:
    counts = Counter(tile.declared for tile in pivot.tiles.values())
    return max(counts, key=lambda count: (counts[count], count), default=1)


def _tile_width(texts: Sequence[TileText]) -> float:
    widths = [
        width_in(text.main, NUMBER_SIZE) + 0.14 + 0.18 * (text.is_marked or bool(text.sign)) + 0.12 * bool(text.sign)
        for text in texts
    ]
    widths += [width_in(line, SMALL_SIZE) + 0.12 for text in texts for line in text.small]
    return max(_LEAST_TILE_WIDTH, *widths)


def _row_labels(pivot: Pivot) -> tuple[tuple[str, ...], tuple[str, ...]]:
    texts = [key_text(pivot.row_axes, key, is_baseline=key in pivot.baseline_rows) for key in pivot.rows]
    labels = distinct([wrapped(text, LABEL_SIZE, _WIDEST_ROW_LABEL, max_lines=2) for text in texts])
    notes = []
    for key in pivot.rows:
        values = dict(zip(pivot.row_axes, key, strict=True))
        chance = chance_level(pivot, values.get("num_labels"))
        notes.append("" if chance is None else f"chance {100 * chance:.3g} %")
    return tuple(labels), tuple(notes)


def _heads(pivot: Pivot, tile_width: float) -> tuple[HeadLine, ...]:
    lines = []
    for depth, axis in enumerate(pivot.col_axes):
        spans = _spans(pivot, depth)
        lines.append(_head_line(axis_text(axis), spans, tile_width))
        if axis != "num_labels":
            continue
        chances = [chance_level(pivot, pivot.cols[span.first][depth]) for span in spans]
        if any(chance is not None for chance in chances):
            levels = [
                Span(text="" if chance is None else f"{100 * chance:.3g}", first=span.first, last=span.last)
                for span, chance in zip(spans, chances, strict=True)
            ]
            lines.append(_head_line("chance (%)", levels, tile_width, is_quiet=True))
    return tuple(lines)


def _spans(pivot: Pivot, depth: int) -> list[Span]:
    """Neighbouring columns with equal values up to an axis share its header; the last axis has one a column."""
    axis = pivot.col_axes[depth]
    is_last = depth == len(pivot.col_axes) - 1
    starts = [
        place
        for place, key in enumerate(pivot.cols)
        if is_last or not place or key[: depth + 1] != pivot.cols[place - 1][: depth + 1]
    ]
    ends = [*(start - 1 for start in starts[1:]), len(pivot.cols) - 1]
    texts = [_head_text(pivot, axis, place, depth) for place in starts]
    return [Span(text=text, first=a, last=b) for text, a, b in zip(texts, starts, ends, strict=True)]


def _head_text(pivot: Pivot, axis: str, place: int, depth: int) -> str:
    key = pivot.cols[place]
    if key not in pivot.baseline_cols:
        return value_text(axis, key[depth])
    if axis in NAMING_AXES:
        first = next(i for i, name in enumerate(pivot.col_axes) if name in NAMING_AXES)
        return f"{value_text(axis, key[depth])} (baseline)" if first == depth else ""
    return "" if key[depth] is None else value_text(axis, key[depth])


def _head_line(name: str, spans: Sequence[Span], tile_width: float, *, is_quiet: bool = False) -> HeadLine:
    size = SMALL_SIZE + 1 if is_quiet else HEAD_SIZE
    turned = any(width_in(span.text, size) > (span.last - span.first + 1) * tile_width - 0.06 for span in spans)
    texts = [span.text for span in spans]
    if turned:
        room = [max(1, int((s.last - s.first + 1) * tile_width / height_in("x", size))) for s in spans]
        texts = [
            wrapped(text, size, _TALLEST_TURNED_HEAD, max_lines=min(3, lines))
            for text, lines in zip(texts, room, strict=True)
        ]
    height = max((width_in(text, size) if turned else height_in(text, size) for text in texts), default=0.0)
    placed = tuple(Span(text=text, first=span.first, last=span.last) for text, span in zip(texts, spans, strict=True))
    return HeadLine(name=name, spans=placed, turned=turned, height=height + 0.07, is_quiet=is_quiet)


def _subtitle(pivot: Pivot, usual: int, judged: Collection[Judged]) -> str:
    has_interval = any(one.low is not None for one in judged)
    over = [{"seed": "seeds"}.get(name, axis_text(name)) for name in pivot.averaged]
    if not over or (usual <= 1 and all(tile.declared <= 1 for tile in pivot.tiles.values())):
        spread = "95 % intervals allow for other test rows" if has_interval else "no spread can be shown"
        return f"one cell in each tile: {spread}"
    noun = " and ".join([", ".join(over[:-1]), over[-1]] if len(over) > 1 else over)
    spread = "under it its 95 % interval" if has_interval else "± standard deviation over the same cells"
    return f"mean over {noun}, n = {usual} unless noted; {spread}"
