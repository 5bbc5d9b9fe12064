"""Every figure by name: what it needs is asked of the store, and what cannot be drawn says why."""

from __future__ import annotations

import difflib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.bars import plan_metric_bars
from analysis.figures.calibration import plan_reliability
from analysis.figures.confusions import plan_confusion
from analysis.figures.costs import plan_score_against_cost, plan_trained_parameters
from analysis.figures.differences import plan_published_differences, plan_strategy_differences
from analysis.figures.labels import plan_label_distribution, plan_label_ends, plan_label_scores
from analysis.figures.learning import plan_learning_curves
from analysis.figures.material import Drawing, Drawn, Material, NothingToDraw
from analysis.figures.pr_auc import plan_pr_auc, plan_pr_auc_differences
from analysis.figures.sizes import plan_size_curves
from analysis.figures.strategies import plan_strategy_table
from analysis.figures.thresholds import plan_best_thresholds, plan_threshold_curves
from analysis.figures.tokens import plan_token_strips
from analysis.file_names import distinct
from analysis.style import figure_settings
from analysis.tables import write_tables
from jobs.errors import UserError
from jobs.storage import write_atomically

Planner = Callable[[Material], Drawn]
DOTS_PER_INCH: Final = 150
_MOST_PIXELS: Final = 30_000
"""Longest side of a PNG: readers and the renderer give up at 65,535."""

FIGURES: Final[Mapping[str, Planner]] = {
    "learning-curves": plan_learning_curves,
    "size-curves": plan_size_curves,
    "score-against-cost": plan_score_against_cost,
    "trained-parameters": plan_trained_parameters,
    "metric-bars": plan_metric_bars,
    "label-distribution": plan_label_distribution,
    "label-scores": plan_label_scores,
    "label-ends": plan_label_ends,
    "best-thresholds": plan_best_thresholds,
    "threshold-curves": plan_threshold_curves,
    "strategy-table": plan_strategy_table,
    "confusion": plan_confusion,
    "reliability": plan_reliability,
    "pr-auc": plan_pr_auc,
    "pr-auc-differences": plan_pr_auc_differences,
    "strategy-differences": plan_strategy_differences,
    "published-differences": plan_published_differences,
    "token-strips": plan_token_strips,
}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one name."""

    name: str
    files: tuple[Path, ...] = ()
    reason: str = ""
    """Why nothing was drawn, or what was left out; empty when all was."""


def chosen_names(only: Sequence[str]) -> tuple[str, ...]:
    """The names to draw, in the order of the catalogue.

    Args:
        only: names that were asked for; empty: all.
    Raises:
        UserError: an unknown name; the nearest ones are told.
    """
    for name in only:
        if name not in FIGURES:
            near = difflib.get_close_matches(name, FIGURES, n=2, cutoff=0.4)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            raise UserError(f"unknown figure {name!r}: {hint}there are {', '.join(FIGURES)}")
    return tuple(name for name in FIGURES if not only or name in only)


def draw_figures(material: Material, folder: Path, only: Sequence[str] = ()) -> Iterator[Outcome]:
    """Draw what a store supports.

    Args:
        material: the store.
        folder: for the files; made when missing.
        only: names; empty: all.
    Returns:
        one outcome a name, as soon as it is drawn.
    Raises:
        UserError: an unknown name.
        EnvironmentProblem: a file of the store is damaged.
        OSError: the folder cannot be written.
    Side effects:
        replaces the files of these names, and removes those of an earlier time that no longer hold.
    """
    for name in chosen_names(only):
        folder.mkdir(parents=True, exist_ok=True)
        written: list[Path] = []
        stems: set[str] = set()
        reason = ""
        try:
            drawn = FIGURES[name](material)
            for picture in drawn.pictures:
                stem = distinct(f"{name}-{picture.part}" if picture.part else name, stems)
                written += save_picture(folder, stem, picture)
            written += write_tables(folder, drawn.tables)
            reason = drawn.note
        except NothingToDraw as nothing:
            reason = str(nothing)
        _remove_stale(folder, name, written)
        yield Outcome(name=name, files=tuple(written), reason=reason)


def save_picture(folder: Path, stem: str, picture: Drawing) -> list[Path]:
    """Write one picture as PNG and SVG; equal input gives equal bytes."""
    figure = figure_of(picture.draw())
    paths = []
    for kind in ("png", "svg"):
        path = folder / f"{stem}.{kind}"
        write_atomically(path, rendered(figure, kind, title=stem))
        paths.append(path)
    return paths


def figure_of(drawn: Axes | tuple[Axes, ...]) -> Figure:
    """The figure that axes stand on."""
    first = drawn[0] if isinstance(drawn, tuple) else drawn
    figure = first.get_figure(root=True)
    return cast(Figure, figure)


def rendered(figure: Figure, kind: str, *, title: str = "", is_text: bool = False) -> bytes:
    """A figure as the bytes of a file.

    Args:
        figure: to draw.
        kind: png | svg.
        title: of an SVG.
        is_text: letters of an SVG stay letters instead of shapes.
    Returns:
        the same bytes for the same figure, whenever and wherever.
    """
    facts = {"Software": None} if kind == "png" else {"Date": None, "Creator": "FineGrid", "Title": title}
    content = io.BytesIO()
    with figure_settings():
        import matplotlib

        if is_text:
            matplotlib.rcParams["svg.fonttype"] = "none"
        longest = max(figure.get_size_inches()) + 4.0
        dots = min(DOTS_PER_INCH, _MOST_PIXELS / longest)
        figure.savefig(content, format=kind, dpi=dots, metadata=facts, bbox_inches="tight", pad_inches=0.15)
    return content.getvalue()


def _remove_stale(folder: Path, name: str, written: Sequence[Path]) -> None:
    others = [other for other in FIGURES if other != name and other.startswith(f"{name}-")]
    for path in sorted(folder.glob(f"{name}*")):
        is_mine = path.stem == name or path.stem.startswith(f"{name}-")
        is_other = any(path.stem == other or path.stem.startswith(f"{other}-") for other in others)
        if is_mine and not is_other and path not in written and path.suffix in (".png", ".svg", ".csv", ".md", ".tex"):
            path.unlink()
