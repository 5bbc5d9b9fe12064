"""Single labels: how many rows carry each, how well each is told, and the labels at both ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes

from analysis.arms import Estimate, Point
from analysis.figures.canvas import SMALL_SIZE, bars, entitle, key, new_axes, new_panels, rows_height, styled, tidy
from analysis.figures.evidence import Truth, read_truth
from analysis.figures.material import Drawing, Drawn, Material, NothingToDraw, limited
from analysis.file_names import slug
from analysis.heatmap_layout import axis_text
from analysis.lettering import drawable, wrapped
from analysis.style import metric_style
from analysis.tables import Table

ENDS: Final = 5
MOST_ARMS: Final = 5
MOST_LABELS: Final = 60
METRICS: Final = ("f1_label", "recall_label", "precision_label")
_PANEL_WIDTH: Final = 1.6


@styled
def label_distribution(
    counts: Mapping[str, Mapping[str, int]], *, rows: Mapping[str, int], title: str = "", axes: Axes | None = None
) -> Axes:
    """Bars of the rows that carry each label, the most frequent label on top.

    Args:
        counts: split -> label -> rows.
        rows: split -> all rows, for shares.
        title: over the bars.
        axes: to draw on; None: new ones.
    Returns:
        the axes.
    """
    splits = list(counts)
    order = sorted(counts[splits[0]], key=lambda label: (-counts[splits[0]][label], label))
    left_out = len(order) - MOST_LABELS
    order = order[:MOST_LABELS]
    axes = axes if axes is not None else new_axes(3.4, rows_height(len(order), len(splits)))
    series = [(f"{split} rows", [float(counts[split].get(label, 0)) for label in order]) for split in splits]
    bars(axes, order, series, metric_style("support"))
    texts = iter(axes.texts)
    for split in splits:
        for label in order:
            number = counts[split].get(label, 0)
            share = f"  ({100 * number / rows[split]:.1f} %)" if rows.get(split) else ""
            next(texts).set_text(f"{number:,}{share}")
    tidy(axes, x="rows that carry the label", grid="x")
    axes.locator_params(axis="x", nbins=5, integer=True)
    axes.tick_params(axis="y", length=0)
    if len(splits) > 1:
        key(axes, clear=0.9)
    if title:
        entitle(axes, title, f"{left_out} rarer labels are not shown" if left_out > 0 else "")
    return axes


def distribution_of(material: Material, column: Point) -> tuple[dict[str, dict[str, int]], dict[str, int]] | None:
    """Label counts of the test and validation rows of a column, from the first cell that keeps predictions."""
    for one in material.arms_in(column):
        for cell in one.cells:
            test = read_truth(material.folder(cell))
            if test is not None:
                truths = {"test": test}
                validation = read_truth(material.folder(cell), split="validation")
                if validation is not None:
                    truths["validation"] = validation
                return {s: _counted(t) for s, t in truths.items()}, {s: len(t.labels) for s, t in truths.items()}
    for one in material.arms_in(column):
        supports = material.label_means("support_label", one.cells[:1])
        if supports:
            return {"test": {label: round(number) for label, number in supports.items()}}, {}
    return None


def _counted(truth: Truth) -> dict[str, int]:
    if truth.is_multi_label:
        totals = truth.labels.sum(axis=0)
    else:
        totals = np.bincount(truth.labels, minlength=len(truth.label_names))
    return {name: int(total) for name, total in zip(truth.label_names, totals, strict=True)}


def plan_label_distribution(material: Material) -> Drawn:
    """One picture for the largest column of each kind of data; rows for training are not kept in a store."""
    pictures = []
    for column in reversed(material.large_columns):
        found = distribution_of(material, column)
        if found is not None:
            counts, rows = found
            title = f"Labels: {column.without('num_samples').title}"

            def draw(
                counts: Mapping[str, Mapping[str, int]] = counts, rows: Mapping[str, int] = rows, title: str = title
            ) -> Axes:
                return label_distribution(counts, rows=rows, title=title)

            pictures.append(Drawing(part=slug(column.without("num_samples").title), draw=draw))
    if not pictures:
        raise NothingToDraw("no finished cell keeps predictions or counts of labels")
    return limited(pictures, "kinds of data")


@styled
def label_scores(
    scores: Sequence[tuple[str, Mapping[str, float]]], *, metric: str, title: str = "", note: str = ""
) -> tuple[Axes, ...]:
    """Bars of every label from zero, one panel an arm; labels in the order of the first arm, best on top.

    Args:
        scores: arm and its numbers by label.
        metric: name of the numbers.
        title: over the first panel.
        note: under the title.
    Returns:
        one axes an arm.
    """
    style = metric_style(metric)
    labels = list(dict.fromkeys(label for _, values in scores for label in values))
    first = scores[0][1]
    sums = {label: sum(values.get(label, 0.0) for _, values in scores) for label in labels}
    order = sorted(labels, key=lambda label: (-first.get(label, -1.0), -sums[label], label))[:MOST_LABELS]
    panels = new_panels([(_PANEL_WIDTH, rows_height(len(order)))] * len(scores), columns=len(scores), gap=(0.55, 0.3))
    for place, (axes, (arm, values)) in enumerate(zip(panels, scores, strict=True)):
        bars(axes, order, [(arm, [values.get(label) for label in order])], style)
        axes.set_xticks([0.0, 0.5, 1.0], labels=["0", "50", "100"])
        tidy(axes, x=f"{axis_text(metric.removesuffix('_label'))}{style.unit}", grid="x")
        axes.tick_params(axis="y", length=0, labelleft=place == 0)
        axes.spines["left"].set_visible(False)
        axes.set_title(wrapped(drawable(arm), SMALL_SIZE, _PANEL_WIDTH + 0.3, max_lines=3), size=SMALL_SIZE, loc="left")
    if title:
        left_out = len(labels) - len(order)
        notes = [note, f"{left_out} labels with lower scores are not shown" if left_out else ""]
        entitle(panels[0], title, "; ".join(each for each in notes if each))
    return tuple(panels)


def label_metric(material: Material) -> str | None:
    """The number by which labels are ordered: F1, else recall, else precision."""
    cells = [cell for one in material.found for cell in one.cells]
    return next((name for name in METRICS if material.label_means(name, cells[:200])), None)


def scores_of(material: Material, column: Point, metric: str) -> list[tuple[Estimate, dict[str, float]]]:
    """Arms of a column with their numbers by label, best score first."""
    arms = sorted(material.arms_in(column), key=lambda one: (one.is_baseline, -(one.mean or 0.0)))
    found = [(one, material.label_means(metric, one.cells)) for one in arms if one.arm["strategy"] != "majority"]
    return [(one, values) for one, values in found if values]


def plan_label_scores(material: Material) -> Drawn:
    """One picture for the largest column of each kind of data: its best arms, and baselines."""
    metric = label_metric(material)
    pictures = []
    for column in reversed(material.large_columns) if metric else ():
        here = scores_of(material, column, metric or "")
        if here:
            trained = [each for each in here if not each[0].is_baseline][:MOST_ARMS]
            baselines = [each for each in here if each[0].is_baseline][:1]
            chosen = [(one.arm.title, values) for one, values in (*trained, *baselines)]
            title = f"Labels: {column.title}"
            left_out = len(here) - len(chosen)
            note = f"{left_out} arms with lower scores are not shown" if left_out else ""

            def draw(
                chosen: Sequence[tuple[str, Mapping[str, float]]] = chosen, title: str = title, note: str = note
            ) -> tuple[Axes, ...]:
                return label_scores(chosen, metric=metric or "", title=title, note=note)

            pictures.append(Drawing(part=slug(column.title), draw=draw))
    if not pictures:
        raise NothingToDraw("no finished cell has numbers of single labels")
    return limited(pictures, "columns")


def plan_label_ends(material: Material) -> Drawn:
    """A table of the five best and worst labels of every arm in the largest columns."""
    metric = label_metric(material)
    rows = []
    for column in material.large_columns if metric else ():
        for one, values in scores_of(material, column, metric or ""):
            order = sorted(values, key=lambda label: (-values[label], label))
            ends = order if len(order) <= 2 * ENDS else [*order[:ENDS], *order[-ENDS:]]
            places = {label: place for place, label in enumerate(order, start=1)}
            rows += [(column.title, one.arm.title, places[label], label, values[label]) for label in ends]
    if not rows:
        raise NothingToDraw("no finished cell has numbers of single labels")
    name = axis_text((metric or "").removesuffix("_label"))
    table = Table(
        name="label-ends",
        caption=f"{material.results.grid}: the labels that every arm does best and worst on",
        columns=("column", "arm", "place", "label", f"{name}, mean over the seeds"),
        rows=tuple(rows),
    )
    return Drawn(tables=(table,))
