"""Token heat strips: a text once for each cell, method and label, every token shaded by what it speaks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from analysis.figures.canvas import LABEL_SIZE, SMALL_SIZE, TITLE_SIZE, new_axes, styled
from analysis.figures.evidence import read_table
from analysis.figures.material import Drawing, Drawn, Material, NothingToDraw, limited
from analysis.file_names import slug
from analysis.lettering import drawable, height_in, width_in, wrapped
from analysis.style import INK, QUIET, ink_on

FOLDER: Final = "explanations"
ATTRIBUTIONS: Final = "attributions.parquet"
EXPLAINED: Final = "explained.parquet"
MOST_STRIPS: Final = 12
MOST_TOKENS: Final = 200
_WIDTH: Final = 5.6
_LINE: Final = 0.24
_HEAD: Final = 0.19
_GAP: Final = 0.14


@dataclass(frozen=True, kw_only=True)
class Token:
    """One token: what is written, whether a space stands before it, and its value."""

    text: str
    has_space: bool
    value: float


@dataclass(frozen=True, kw_only=True)
class Strip:
    """One text under one cell, method and label."""

    title: str
    tokens: tuple[Token, ...]
    left_out: int = 0


@dataclass(frozen=True, kw_only=True)
class _Box:
    token: Token
    left: float
    top: float
    width: float


@styled
def token_strips(strips: Sequence[Strip], *, title: str = "", axes: Axes | None = None) -> Axes:
    """Draw strips of one text under each other; each is shaded by its own largest value.

    Args:
        strips: of one text.
        title: over the strips.
        axes: to draw on, in inches from the upper left corner; None: new ones of the right height.
    Returns:
        the axes.
    """
    laid = [(strip, _lay(strip.tokens)) for strip in strips]
    heights = [_HEAD + _LINE * (1 + max((round(box.top / _LINE) for box in boxes), default=0)) for _, boxes in laid]
    heading = wrapped(drawable(title), TITLE_SIZE * 1.08, _WIDTH, max_lines=3) if title else ""
    above = height_in(heading, TITLE_SIZE) + 0.08 if heading else 0.0
    note = "orange: speaks against the label; purple: speaks for it; each strip by its own strongest token"
    total = above + sum(heights) + _GAP * len(heights) + height_in(note, SMALL_SIZE)
    axes = axes if axes is not None else new_axes(_WIDTH, total)
    axes.set_xlim(0, _WIDTH)
    axes.set_ylim(total, 0)
    axes.axis("off")
    axes.text(0, 0, heading, size=TITLE_SIZE, weight="bold", color=INK, va="top", linespacing=1.2)
    top = above
    for (strip, boxes), height in zip(laid, heights, strict=True):
        _draw(axes, strip, boxes, top)
        top += height + _GAP
    axes.text(0, top, note, size=SMALL_SIZE, color=QUIET, va="top")
    return axes


def _draw(axes: Axes, strip: Strip, boxes: Sequence[_Box], top: float) -> None:
    name = wrapped(drawable(strip.title), SMALL_SIZE, _WIDTH, max_lines=1)
    axes.text(0, top + _HEAD - 0.05, name, size=SMALL_SIZE, color=QUIET, va="bottom")
    colours = matplotlib.colormaps["PuOr"]
    strongest = max((abs(token.value) for token in strip.tokens), default=0.0) or 1.0
    for box in boxes:
        # Half of the scale on each side: the strongest tokens keep a ground on which black can be read.
        ground = colours(0.5 + 0.4 * box.token.value / strongest)
        y = top + _HEAD + box.top
        axes.add_patch(Rectangle((box.left, y + 0.01), box.width, _LINE - 0.03, facecolor=ground, linewidth=0))
        axes.text(
            box.left + box.width / 2,
            y + _LINE / 2 - 0.005,
            box.token.text,
            size=LABEL_SIZE,
            color=ink_on(ground),
            ha="center",
            va="center",
        )


def _lay(tokens: Sequence[Token]) -> list[_Box]:
    boxes: list[_Box] = []
    left = top = 0.0
    for token in tokens:
        width = min(_WIDTH, width_in(token.text, LABEL_SIZE) + 0.05)
        space = 0.07 if token.has_space and left else 0.012 if left else 0.0
        if left and left + space + width > _WIDTH:
            left, space, top = 0.0, 0.0, top + _LINE
        boxes.append(_Box(token=token, left=left + space, top=top, width=width))
        left += space + width
    return boxes


def strips_of(
    attributions: pd.DataFrame, titles: Mapping[str, str], labels: Mapping[Any, Any]
) -> Iterator[tuple[str, list[Strip]]]:
    """Strips of every text, in the order of the table.

    Args:
        attributions: one row a token, as `finegrid explain` writes it.
        titles: of the cells.
        labels: what is known of (cell, row, label), in words.
    Returns:
        row id of a text, and its strips: by label, then cell, then method.
    """
    table = attributions[~attributions["is_special"].astype(bool)]
    for row_id, rows in table.groupby("row_id", sort=False):
        strips = []
        for (label, cell, method), tokens in rows.groupby(["label", "cell_id", "method"], sort=False):
            ordered = tokens.sort_values("position").to_dict("records")
            said = labels.get((cell, row_id, label), "")
            title = f"{titles.get(str(cell), str(cell))} · {method} · label {label}{said}"
            more = max(0, len(ordered) - MOST_TOKENS)
            if more:
                title += f" · {more} more tokens"
            strips.append(Strip(title=title, tokens=tuple(_tokens(ordered[:MOST_TOKENS])), left_out=more))
        yield str(row_id), sorted(strips, key=lambda strip: strip.title.rpartition(" · label ")[2])[:MOST_STRIPS]


def _tokens(rows: Sequence[Mapping[Any, Any]]) -> Iterator[Token]:
    end_before = 0
    for row in rows:
        has_place = not pd.isna(row["start"]) and not pd.isna(row["end"]) and row["end"] > row["start"]
        if has_place:
            start, end = int(row["start"]), int(row["end"])
            text = str(row["text"])
            written, between = text[start:end], text[end_before:start]
            has_space = not between == "" or written[:1].isspace()
            end_before = end
        else:
            written, has_space = str(row["token"]), True
        shown = wrapped(" ".join(drawable(written).split()) or "␣", LABEL_SIZE, _WIDTH - 0.3, max_lines=1)
        yield Token(text=shown, has_space=has_space, value=float(row["value"]))


def plan_token_strips(material: Material) -> Drawn:
    """One picture a text of every question that `finegrid explain` answered; methods of one question side by side."""
    folders = _folders(material.root)
    if not folders:
        raise NothingToDraw("there are no explanations: `finegrid explain RESULTS --cells A,B` makes them")
    together, titles, labels = _read(folders)
    pictures = []
    for row_id, strips in strips_of(together, titles, labels):

        def draw(strips: Sequence[Strip] = strips, row_id: str = row_id) -> Axes:
            return token_strips(strips, title=f"What each token speaks for: row {row_id}")

        pictures.append(Drawing(part=slug(row_id), draw=draw))
    return limited(pictures, "texts")


def _folders(root: Path | None) -> list[Path]:
    if root is None or not (root / FOLDER).is_dir():
        return []
    return sorted(folder for folder in (root / FOLDER).iterdir() if (folder / ATTRIBUTIONS).is_file())


def _read(folders: Sequence[Path]) -> tuple[pd.DataFrame, dict[str, str], dict[Any, str]]:
    tables = [table for folder in folders if (table := read_table(folder, ATTRIBUTIONS)) is not None]
    together = pd.concat(tables, ignore_index=True)
    together = together.drop_duplicates(["cell_id", "row_id", "method", "label", "position"], keep="last")
    titles: dict[str, str] = {}
    labels: dict[Any, str] = {}
    for folder in folders:
        explained = read_table(folder, EXPLAINED)
        for row in [] if explained is None else explained.to_dict("records"):
            titles[str(row["cell_id"])] = str(row["title"])
            words = [word for word, flag in (("true", row["is_true"]), ("said", row["is_said"])) if flag is True]
            if words:
                labels[row["cell_id"], row["row_id"], row["label"]] = f" ({', '.join(words)})"
    return together, titles, labels
