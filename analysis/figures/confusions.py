"""Confusion matrices: what was said of the rows of each label; one 2 x 2 matrix a label where rows carry several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from analysis.figures.canvas import SMALL_SIZE, entitle, new_axes, new_panels, styled
from analysis.figures.evidence import Truth, confusion_of, label_tables, read_truth
from analysis.figures.material import Drawing, Drawn, Material, NothingToDraw, limited
from analysis.figures.tiles import TileTexts, draw_tiles, name_tiles, sequential, title_over_names
from analysis.file_names import slug
from analysis.lettering import drawable, width_in, wrapped
from analysis.loading import Results

MOST_LABELS: Final = 60
_SMALL: Final = 0.5
"""Inches of a tile of the small matrices."""


@styled
def confusion_matrix(
    counts: NDArray[np.float64], labels: Sequence[str], *, cells: int = 1, title: str = "", axes: Axes | None = None
) -> Axes:
    """Draw one matrix: shares of the rows of each true label, in per cent, and counts where there is room.

    Args:
        counts: [true, said] rows, summed over cells.
        labels: names of the classes.
        cells: how many cells were summed; counts are shown as a mean.
        title: over the matrix.
        axes: to draw on; None: new ones.
    Returns:
        the axes.
    """
    size = len(labels)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)
    is_roomy = size <= 10
    tile = 0.62 if is_roomy else 0.36 if size <= 30 else 0.3
    axes = axes if axes is not None else new_axes(size * tile, size * tile)
    texts = {}
    for row in range(size):
        for column in range(size):
            share, number = shares[row, column], counts[row, column] / cells
            if not np.isnan(share) and counts[row, column]:
                small = f"{number:,.0f}" if cells == 1 or float(number).is_integer() else f"{number:,.1f}"
                texts[row, column] = TileTexts(main=_percent(share), small=small if is_roomy else "")
    colours, norm = sequential()
    draw_tiles(axes, shares, texts, colours=colours, norm=norm, size=9.0 if is_roomy else 6.5)
    name_tiles(axes, labels, labels, down="true label", across="said")
    if title:
        title_over_names(axes, title, "per cent of the rows of each true label" + _counts_note(is_roomy, cells))
    return axes


def _counts_note(is_roomy: bool, cells: int) -> str:
    if not is_roomy:
        return "" if cells == 1 else f", over {cells} seeds"
    return "; small: rows" if cells == 1 else f"; small: rows, mean over {cells} seeds"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}" if share >= 0.005 else "<1"


@styled
def label_confusions(
    tables: NDArray[np.float64], labels: Sequence[str], *, cells: int = 1, title: str = ""
) -> tuple[Axes, ...]:
    """Draw one small matrix a label: carries it or not, by said or not; per cent of the rows of each line.

    Args:
        tables: [labels, 2, 2] rows, summed over cells.
        labels: their names.
        cells: how many cells were summed.
        title: over the first matrix.
    Returns:
        one axes a label.
    """
    panels = new_panels([(2 * _SMALL, 2 * _SMALL)] * len(labels), columns=min(7, len(labels)), gap=(0.45, 0.62))
    colours, norm = sequential()
    for place, (axes, label, counts) in enumerate(zip(panels, labels, tables, strict=True)):
        totals = counts.sum(axis=1, keepdims=True)
        shares = np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)
        texts = {
            (row, column): TileTexts(
                main="" if np.isnan(shares[row, column]) else _percent_or_zero(shares[row, column]),
                small=_brief(counts[row, column] / cells),
            )
            for row in (0, 1)
            for column in (0, 1)
        }
        draw_tiles(axes, shares, texts, colours=colours, norm=norm, size=7.5)
        is_first = place % min(7, len(labels)) == 0
        axes.set_xticks([0, 1], ["not said", "said"], size=SMALL_SIZE - 1.5)
        axes.set_yticks([0, 1], ["is not", "is"] if is_first else ["", ""], size=SMALL_SIZE - 1.5)
        axes.tick_params(length=0, pad=2)
        name = wrapped(drawable(label) or "(empty)", SMALL_SIZE, 2 * _SMALL + 0.35, max_lines=2)
        axes.set_title(name, size=SMALL_SIZE, loc="left", pad=4)
    if title:
        note = "per cent of the rows of each line; small: rows" + ("" if cells == 1 else f", mean over {cells} seeds")
        entitle(panels[0], title, note)
    return tuple(panels)


def _percent_or_zero(share: float) -> str:
    return "0" if share == 0 else _percent(share)


def _brief(number: float) -> str:
    text = f"{number:,.0f}" if float(number).is_integer() else f"{number:,.1f}"
    return text if width_in(text, 5.5) < _SMALL - 0.06 else f"{number / 1000:,.0f}k"


@styled
def confusion(results: Results, cells: Sequence[str], *, title: str = "") -> tuple[Axes, ...]:
    """Draw the confusions of cells that differ in their seed.

    Args:
        results: a loaded store.
        cells: ids; those without predictions are left out.
        title: over the picture.
    Returns:
        one axes for single-label cells, one a label for multi-label ones.
    Raises:
        NothingToDraw: no cell keeps predictions, or there are too many labels for a picture.
    """
    truths = [truth for cell in cells if (truth := read_truth(results.folders.get(cell))) is not None]
    if not truths:
        raise NothingToDraw("no cell keeps predictions")
    labels = truths[0].label_names
    if len(labels) > MOST_LABELS:
        raise NothingToDraw(f"{len(labels)} labels are more than a matrix can show ({MOST_LABELS})")
    truths = [truth for truth in truths if truth.label_names == labels]
    if truths[0].is_multi_label:
        return label_confusions(label_tables(truths), labels, cells=len(truths), title=title)
    return (confusion_matrix(confusion_of(truths), labels, cells=len(truths), title=title),)


def plan_confusion(material: Material) -> Drawn:
    """One picture for each arm in the column of each dataset with most labels and rows."""
    pictures = []
    too_many = 0
    for column in material.final_columns:
        for one in material.arms_in(column):
            truth = _first_truth(material, one.cells)
            too_many += truth is not None and len(truth.label_names) > MOST_LABELS
            if truth is not None and len(truth.label_names) <= MOST_LABELS:
                title = f"{one.arm.title}: {column.title}"

                def draw(cells: Sequence[str] = one.cells, title: str = title) -> tuple[Axes, ...]:
                    return confusion(material.results, cells, title=title)

                pictures.append(Drawing(part=slug(title), draw=draw))
    if not pictures:
        reason = f"more than {MOST_LABELS} labels" if too_many else "no finished cell keeps predictions"
        raise NothingToDraw(reason)
    return limited(pictures, "arms and columns")


def _first_truth(material: Material, cells: Sequence[str]) -> Truth | None:
    return next((truth for cell in cells if (truth := read_truth(material.folder(cell))) is not None), None)
