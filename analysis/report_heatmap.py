"""The heatmap of a report as an HTML table: arms by columns, each tile with everything that is known about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from matplotlib.colors import to_hex

from analysis.aggregate import DATA_AXES
from analysis.arms import Estimate, Point, columns_of
from analysis.heatmap_layout import (
    BEST_SIGN,
    FAILED_SIGN,
    MARK_SIGN,
    MODELS_SIGN,
    NOT_RUN_SIGN,
    STANDING_SIGNS,
    TIED_SIGN,
    UNDEFINED_SIGN,
    axis_text,
    value_text,
)
from analysis.report_facts import Facts, repeat_command
from analysis.report_standing import Place, Standing
from analysis.report_text import visible
from analysis.style import MetricStyle, ink_on

SHADES: Final = 50
"""Steps of the colour scale: the page has one CSS class a step, and no inline style."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """One header over neighbouring columns."""

    text: str
    span: int


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One tile as the table shows it."""

    text: str
    small: str
    sign: str
    css: str
    label: str
    """For readers of the screen: what the signs say, in words."""
    index: int | None
    """Place of its details; None where nothing was declared."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One arm."""

    title: str
    is_first_baseline: bool
    tiles: tuple[Shown, ...]


@dataclass(frozen=True, kw_only=True)
class Heatmap:
    """The table, and the details of its tiles."""

    heads: tuple[tuple[str, tuple[Head, ...]], ...]
    """One line an axis: its name and its headers."""
    lines: tuple[Line, ...]
    details: tuple[Mapping[str, Any], ...]
    """Plain values; the page's script shows them as text."""
    signs: tuple[tuple[str, str], ...]
    """Signs that occur, with their meaning."""


def heatmap(
    found: Sequence[Estimate],
    standing: Mapping[Place, Standing],
    *,
    style: MetricStyle,
    facts: Facts,
    marks: Mapping[str, tuple[str, ...]],
    paged: frozenset[str] = frozenset(),
) -> Heatmap:
    """Lay estimates out.

    Args:
        found: estimates of one metric.
        standing: of every arm with a number.
        style: of the metric.
        facts: of the store, for commands.
        marks: of every cell that has any.
        paged: cells that have pages of their own.
    Returns:
        baselines under the models, columns ascending.
    """
    columns = columns_of(found)
    by_place = {(one.arm.key, one.column.key): one for one in found}
    arms = {one.arm.key: one for one in sorted(found, key=lambda one: one.is_baseline)}
    limits = style.limits([one.mean for one in found if one.mean is not None])
    details: list[dict[str, Any]] = []
    lines: list[Line] = []
    for key, arm in arms.items():
        tiles = []
        for column in columns:
            one = by_place.get((key, column.key))
            if one is not None:
                details.append(_details(one, style, facts, marks, standing.get((key, column.key)), paged))
            tiles.append(_tile(one, standing.get((key, column.key)), style, limits, len(details) - 1))
        is_first = arm.is_baseline and not any(line.is_first_baseline for line in lines)
        lines.append(Line(title=arm.arm.title, is_first_baseline=is_first, tiles=tuple(tiles)))
    shown = {sign for line in lines for tile in line.tiles for sign in (tile.sign, tile.text, tile.small)}
    shown |= {MARK_SIGN for one in found if one.marked}
    return Heatmap(
        heads=_heads(columns),
        lines=tuple(lines),
        details=tuple(details),
        signs=tuple((sign, text) for sign, text in _MEANINGS if any(sign in text_of for text_of in shown)),
    )


_MEANINGS: Final = (
    (BEST_SIGN, "highest score of its column"),
    (TIED_SIGN, "cannot be told from the highest of its column (hatched)"),
    (MODELS_SIGN, str(Standing.MODELS)),
    (MARK_SIGN, "some cells depart from their declaration: see marks"),
    (FAILED_SIGN, "failed"),
    (UNDEFINED_SIGN, "done, but the number is undefined"),
    (NOT_RUN_SIGN, "not run to its end yet"),
    ("n=", "cells with a number, of those declared"),
)


def shade_rules(style: MetricStyle) -> str:
    """CSS of the colour scale: ground and ink of every step."""
    rules = []
    for step in range(SHADES + 1):
        ground = to_hex(style.colours(step / SHADES))
        rules.append(f".s{step}{{background-color:{ground};color:{ink_on(ground)}}}")
    return "\n".join(rules)


_CLASSES: Final = {Standing.BEST: " best", Standing.TIED: " tied"}


def _tile(
    one: Estimate | None, standing: Standing | None, style: MetricStyle, limits: tuple[float, float], index: int
) -> Shown:
    if one is None:
        return Shown(text="", small="", sign="", css="none", label="not part of the grid", index=None)
    if one.mean is None:
        text, word = _missing(one)
        return Shown(text=text, small=word, sign="", css="gap", label=word, index=index)
    sign = "" if standing is None else STANDING_SIGNS.get(standing, "")
    low, high = limits
    share = min(1.0, max(0.0, (one.mean - low) / (high - low)))
    small = "" if one.low is None or one.high is None else f"{style.text(one.low)}–{style.text(one.high)}"
    lacking = one.declared - len(one.seeds)
    if lacking:
        small = f"{small} n={len(one.seeds)}/{one.declared}{FAILED_SIGN if one.failed else ''}".strip()
    said = [str(standing)] if standing is not None and sign else []
    if one.marked:
        said.append("departs from its declaration")
    if lacking:
        said.append(f"{len(one.seeds)} of {one.declared} cells")
    css = f"s{round(share * SHADES)}" + ("" if standing is None else _CLASSES.get(standing, ""))
    text = style.text(one.mean) + (MARK_SIGN if one.marked else "")
    return Shown(text=text, small=small, sign=sign, css=css, label=", ".join(said), index=index)


def _missing(one: Estimate) -> tuple[str, str]:
    if one.failed:
        return FAILED_SIGN, "failed"
    return (UNDEFINED_SIGN, "undefined") if one.undefined and not one.not_run else (NOT_RUN_SIGN, "not run")


def _details(
    one: Estimate,
    style: MetricStyle,
    facts: Facts,
    marks: Mapping[str, tuple[str, ...]],
    standing: Standing | None,
    paged: frozenset[str],
) -> dict[str, Any]:
    """What hovering, focusing or tapping shows: lines of name and text."""
    unit = " %" if style.is_share else ""
    pairs: list[tuple[str, str]] = []
    if one.mean is not None:
        pairs.append(("Mean", f"{style.text(one.mean)}{unit}"))
    if one.low is not None and one.high is not None:
        level = f"{100 * one.level:g} %"
        pairs.append((f"{level} interval", f"{style.text(one.low)} to {style.text(one.high)}{unit}"))
        pairs.append(("It allows for", str(one.covers)))
    if one.reason:
        pairs.append(("No interval" if one.mean is not None else "No number", one.reason))
    if one.sd is not None:
        pairs.append(
            ("Standard deviation", f"{style.text(one.sd)}{' points' if style.is_share else ''} over the seeds")
        )
    pairs.append(("Seeds", f"{len(one.seeds)} of {one.declared} declared" + _counted(one)))
    if one.rows is not None:
        pairs.append(("Test rows", f"{one.rows:,}"))
    if standing is not None:
        pairs.append(("Standing", str(standing)))
    own_marks = sorted({mark for cell in one.cells for mark in marks.get(cell, ())})
    if own_marks:
        pairs.append(("Marks", "; ".join(own_marks)))
    if one.cells and not paged.issuperset(one.cells):
        pairs.append(("Cells", " ".join(one.cells)))
    command = repeat_command(facts, one.cells, baseline=one.arm["strategy"] if one.is_baseline else None)
    return {
        "title": visible(f"{one.arm.title} — {one.column.title}"),
        "pairs": [(name, visible(text)) for name, text in pairs],
        "command": visible(command),
        "pages": [cell for cell in one.cells if cell in paged],
    }


def _counted(one: Estimate) -> str:
    counts = (("failed", one.failed), ("not run", one.not_run), ("undefined", one.undefined))
    said = [f"{number} {word}" for word, number in counts if number]
    return f" ({', '.join(said)})" if said else ""


def _heads(columns: Sequence[Point]) -> tuple[tuple[str, tuple[Head, ...]], ...]:
    """One line for each axis of the data that varies, outermost first; at least the last axis."""
    varied = [axis for axis in DATA_AXES if len({point[axis] for point in columns}) > 1] or [DATA_AXES[-1]]
    lines = []
    for depth, axis in enumerate(varied):
        heads: list[Head] = []
        before: tuple[Any, ...] | None = None
        for point in columns:
            key = tuple(point[name] for name in varied[: depth + 1])
            if key == before and depth < len(varied) - 1:
                heads[-1] = Head(text=heads[-1].text, span=heads[-1].span + 1)
            else:
                value = point[axis]
                heads.append(Head(text=value if isinstance(value, str) else value_text(axis, value), span=1))
            before = key
        lines.append((axis_text(axis), tuple(heads)))
    return tuple(lines)
