"""Thresholds of multi-label cells: the best one of every label, and what one threshold for all labels would score."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd
from matplotlib.axes import Axes

from analysis.figures.canvas import colour, entitle, key, new_axes, share_scale, styled, tidy
from analysis.figures.evidence import SENSITIVITY, read_table, thresholds_of
from analysis.figures.material import Drawn, Material, NothingToDraw, one_an_arm
from analysis.heatmap_layout import axis_text
from analysis.loading import Results
from analysis.style import INK, metric_style
from analysis.tables import Table

_METRICS: Final = ("f1_micro", "f1_macro", "subset_accuracy")
_LINES: Final[Mapping[str, Any]] = {"test": "solid", "validation": (0, (3, 2))}


@styled
def threshold_curves(results: Results, cells: Sequence[str], *, title: str = "", axes: Axes | None = None) -> Axes:
    """Draw three scores over one threshold for all labels; mean over the cells, which should differ in their seed.

    Args:
        results: a loaded store.
        cells: ids; those without a table of thresholds are left out.
        title: over the lines.
        axes: to draw on; None: new ones.
    Returns:
        the axes.
    Raises:
        NothingToDraw: none of the cells keeps such a table.
    """
    tables = [table for cell in cells if (table := read_table(results.folders.get(cell), SENSITIVITY)) is not None]
    if not tables:
        raise NothingToDraw("no cell keeps scores over thresholds")
    together = pd.concat(tables, ignore_index=True)
    axes = axes if axes is not None else new_axes(3.6, 2.4)
    for place, metric in enumerate(_METRICS):
        for split in ("test", "validation"):
            mean = together[together["split"] == split].groupby("threshold")[metric].mean()
            if len(mean):
                label = f"{axis_text(metric)}, {split} rows"
                axes.plot(mean.index, mean.to_numpy(), color=colour(place), linestyle=_LINES[split], label=label)
    chosen = _global_thresholds(results, cells)
    if chosen:
        dots: dict[str, Any] = {"color": INK, "linewidth": 0.9, "linestyle": (0, (1, 2))}
        axes.axvline(statistics.fmean(chosen), label="fitted threshold", **dots)
    axes.set_xlim(0, 1)
    share_scale(axes, metric_style("f1_micro"), along="y")
    tidy(axes, x="one threshold for all labels", y="score (%)")
    key(axes)
    if title:
        entitle(axes, title, "" if len(tables) == 1 else f"mean over {len(tables)} seeds")
    return axes


def _global_thresholds(results: Results, cells: Sequence[str]) -> list[float]:
    found = [thresholds_of(results.folders.get(cell)) for cell in cells]
    return [float(one["global_threshold"]) for one in found if one and one.get("global_threshold") is not None]


def plan_threshold_curves(material: Material) -> Drawn:
    """One picture for each arm in the column of each dataset with most labels and rows."""
    nothing = "no finished cell fitted thresholds (only rows with several labels have them)"
    return one_an_arm(material, threshold_curves, has=lambda cells: material.keeps(cells, SENSITIVITY), nothing=nothing)


def threshold_rows(results: Results, cells: Sequence[str]) -> list[tuple[Any, ...]]:
    """Of every label: mean threshold, lowest, highest, F1 there on validation rows, and what must be known about it."""
    values: dict[str, list[float]] = defaultdict(list)
    scores: dict[str, list[float]] = defaultdict(list)
    notes: dict[str, set[str]] = defaultdict(set)
    for cell in cells:
        for each in (thresholds_of(results.folders.get(cell)) or {}).get("labels") or ():
            label = str(each["label"])
            values[label].append(float(each["threshold"]))
            if each.get("f1") is not None:
                scores[label].append(float(each["f1"]))
            if each.get("at_edge"):
                notes[label].add("at the edge of the grid")
            if not each.get("is_fitted", True):
                notes[label].add(f"that of all labels: {each.get('reason') or 'not fitted'}")
    return [
        (
            label,
            statistics.fmean(each),
            min(each),
            max(each),
            statistics.fmean(scores[label]) if scores[label] else None,
            "; ".join(sorted(notes[label])),
        )
        for label, each in values.items()
    ]


def plan_best_thresholds(material: Material) -> Drawn:
    """A table of every arm and label in the largest columns."""
    rows = []
    for column in material.large_columns:
        for one in material.arms_in(column):
            rows += [(column.title, one.arm.title, *row) for row in threshold_rows(material.results, one.cells)]
    if not rows:
        raise NothingToDraw("no finished cell fitted thresholds (only rows with several labels have them)")
    table = Table(
        name="best-thresholds",
        caption=f"{material.results.grid}: thresholds fitted on validation rows, mean over the seeds",
        columns=("column", "arm", "label", "threshold", "lowest", "highest", "validation F1", "note"),
        rows=tuple(rows),
    )
    return Drawn(tables=(table,))
