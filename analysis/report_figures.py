"""Figures inside the page of a report: those that say something that its tables and answers do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from analysis.figures.catalogue import FIGURES, figure_of
from analysis.figures.inline import inline_svg
from analysis.figures.material import Material, NothingToDraw
from analysis.figures.strategies import number_columns, strategy_caption, strategy_columns
from analysis.report_sections import Listing, Row

_MORE: Final = {"strategy-differences": 3, "published-differences": 2, "token-strips": 3}
"""Pictures under one heading, if not one; the others are drawn by `python -m analysis.figures`."""
MOST_ARMS: Final = 60
_SHOWN: Final[Mapping[str, tuple[str, str]]] = {
    "score-against-cost": (
        "What scores cost",
        "Dashed: no arm scores more for less. Bars are 95 % intervals; costs stand on a logarithmic scale.",
    ),
    "trained-parameters": ("Trained parameters", ""),
    "strategy-differences": ("Strategy against strategy", ""),
    "published-differences": ("Ours against published numbers", ""),
    "pr-auc": ("Average precision of labels under two strategies", "Mean over the seeds."),
    "pr-auc-differences": ("Differences of average precision", ""),
    "threshold-curves": ("One threshold for all labels", ""),
    "label-distribution": ("Labels of the rows", "Rows for training are not kept in a store: these are held-out rows."),
    "label-scores": ("Scores of single labels", "Mean over the seeds; labels in the order of the first arm."),
    "token-strips": ("What single tokens speak for", "Found by finegrid explain, for single texts."),
}


@dataclass(frozen=True, kw_only=True)
class PageFigure:
    """One heading with its pictures."""

    slug: str
    title: str
    note: str
    pictures: tuple[Markup, ...]


def page_figures(material: Material) -> tuple[PageFigure, ...]:
    """Draw what the store supports and a page has room for.

    Args:
        material: the store.
    Returns:
        the figures, in the order of the page.
    Raises:
        EnvironmentProblem: a file of a result folder is damaged.
    """
    if not material.columns or len({one.arm.key for one in material.found}) > MOST_ARMS:
        return ()
    found = []
    for name, (title, note) in _SHOWN.items():
        if name == "label-distribution" and _is_balanced(material):
            continue  # all bars would be equal
        try:
            drawn = FIGURES[name](material)
        except NothingToDraw:
            continue
        pictures = []
        for number, picture in enumerate(drawn.pictures[: _MORE.get(name, 1)]):
            figure = figure_of(picture.draw())
            pictures.append(inline_svg(figure, label=f"{title}: {picture.part}", prefix=f"{name}-{number}-"))
        found.append(PageFigure(slug=name, title=title, note=note, pictures=tuple(pictures)))
    return tuple(found)


def _is_balanced(material: Material) -> bool:
    cells = material.results.declared
    return bool((cells["task"] == "single_label").all() and cells["protocol"].isin(["nested", "replay"]).all())


def strategy_listing(material: Material) -> Listing | None:
    """The table that papers print, of the column with most labels and rows; best values in bold type."""
    columns = strategy_columns(material)
    if not columns:
        return None
    arms = material.arms_in(columns[0])
    found = number_columns(material, arms)
    rows = []
    for number, one in enumerate(arms[:MOST_ARMS]):
        values = [each.values[number] for each in found]
        texts = ["" if value is None else each.text(value) for value, each in zip(values, found, strict=True)]
        best = tuple(place for place, each in enumerate(found, start=2) if number in each.best)
        rows.append(Row(texts=(one.arm.title, str(len(one.seeds)), *texts), best=best))
    return Listing(
        caption=strategy_caption(material, columns[0]),
        columns=("Arm", "Seeds", *(f"{each.title}{each.unit}" for each in found)),
        rows=tuple(rows),
        left_out=max(0, len(arms) - MOST_ARMS),
    )
