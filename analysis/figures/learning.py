"""Learning curves over training steps: loss on train and validation rows, and every tracked metric; one line a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import pandas as pd
from matplotlib.axes import Axes

from analysis.figures.canvas import colour, entitle, key, label_of, line_look, new_panels, share_scale, styled, tidy
from analysis.figures.evidence import CURVES, read_table
from analysis.figures.material import Drawn, Material, NothingToDraw, one_an_arm
from analysis.heatmap_layout import axis_text
from analysis.loading import COST_SPLIT, Results
from analysis.style import metric_style

MOST_SEEDS: Final = 8
_PANEL: Final = (2.7, 1.9)


@styled
def learning_curves(results: Results, cells: Sequence[str], *, title: str = "") -> tuple[Axes, ...]:
    """Draw what was measured while some cells trained; cells that differ in their seed are one picture.

    Args:
        results: a loaded store.
        cells: ids; those without curves are left out.
        title: over the first panel; empty: none.
    Returns:
        one axes a metric, the loss first.
    Raises:
        NothingToDraw: none of the cells keeps curves.
    """
    curves = {cell: table for cell in cells[:MOST_SEEDS] if (table := _curves(results, cell)) is not None}
    if not curves:
        raise NothingToDraw("no cell keeps curves over steps")
    metrics = list(dict.fromkeys(name for table in curves.values() for name in table["metric"]))
    metrics.sort(key=lambda name: name != "loss")
    panels = new_panels([_PANEL] * len(metrics), columns=3, gap=(0.65, 0.95))
    names = _cell_names(results, list(curves))
    best = _best_steps(results)
    for axes, metric in zip(panels, metrics, strict=True):
        _panel(axes, metric, curves, names, best)
    if title:
        some = f"; the first {MOST_SEEDS} of {len(cells)} cells" if len(cells) > MOST_SEEDS else ""
        entitle(panels[0], title, f"dotted: the step whose state was kept{some}")
    key(panels[min(2, len(panels) - 1)], of=panels[0])
    return tuple(panels)


def _panel(
    axes: Axes,
    metric: str,
    curves: Mapping[str, pd.DataFrame],
    names: Mapping[str, str],
    best: Mapping[str, float],
) -> None:
    style = metric_style(metric)
    splits = sorted({split for table in curves.values() for split in table.loc[table["metric"] == metric, "split"]})
    for place, (cell, table) in enumerate(curves.items()):
        for split in splits:
            chosen = table[(table["metric"] == metric) & (table["split"] == split)].sort_values("step")
            look = line_look(place) | {"linestyle": "solid" if split == "validation" else (0, (4, 2))}
            look |= {"markersize": 3.2 if split == "validation" else 0.0, "zorder": 3.0 - 0.1 * place}
            label = label_of(f"{names[cell]}, {split} rows")
            axes.plot(chosen["step"], chosen["value"], label=label, **look)
        if cell in best:
            axes.axvline(best[cell], color=colour(place), linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
    steps = [step for table in curves.values() for step in table["step"]]
    axes.set_xlim(0, max(steps, default=1) * 1.04)
    axes.locator_params(axis="x", nbins=5, integer=True)
    share_scale(axes, style, along="y")
    axes.set_title(f"{axis_text(metric)}{style.unit}", loc="left", size=9)
    tidy(axes, x="step")


def _curves(results: Results, cell: str) -> pd.DataFrame | None:
    table = read_table(results.folders.get(cell), CURVES)
    return table if table is not None and len(table) else None


def _cell_names(results: Results, cells: Sequence[str]) -> dict[str, str]:
    """`seed 0` where seeds tell the cells apart, else their ids."""
    rows = results.cells[results.cells["cell_id"].isin(list(cells))]
    seeds = dict(zip(rows["cell_id"], rows["seed"], strict=True))
    if len({seeds.get(cell) for cell in cells}) == len(cells):
        return {cell: f"seed {seeds.get(cell)}" for cell in cells}
    return {cell: cell for cell in cells}


def _best_steps(results: Results) -> dict[str, float]:
    table = results.metrics
    chosen = table[(table["split"] == COST_SPLIT) & (table["name"] == "best_step")]
    return {cell: float(value) for cell, value in zip(chosen["cell_id"], chosen["value"], strict=True)}


def plan_learning_curves(material: Material) -> Drawn:
    """One picture for each trained arm in the column of each dataset with most labels and rows."""
    nothing = "no finished cell keeps curves over steps (baselines have none)"
    return one_an_arm(
        material,
        learning_curves,
        has=lambda cells: material.keeps(cells, CURVES),
        nothing=nothing,
        baselines=False,
    )
