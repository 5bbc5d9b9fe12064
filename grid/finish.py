"""What a run leaves for people at its end: the default heatmaps, one table of all cells, and the report."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.markup import escape

from grid.store.export import export
from jobs.errors import one_line
from jobs.redaction import redact
from jobs.storage import Layout

TABLE = "cells.csv"
MOST_RESULTS: Final = 2_000
"""With more finished cells the report takes tens of seconds: it is left to those who ask for it."""

logger = logging.getLogger(__name__)


def finish_pictures(root: Path, *, has_news: bool, console: Console) -> tuple[Path, ...]:
    """Draw the default heatmaps, write the table and the report, unless those of an earlier run still hold.

    What cannot be drawn or written is told and logged; it does not change how the run ended.

    Args:
        root: results folder.
        has_news: cells were finished since.
        console: for people.
    Returns:
        the files written, of the report its page alone.
    """
    layout = Layout(root)
    if not has_news and (layout.tables / TABLE).exists():
        return ()
    steps: tuple[tuple[str, str, Callable[[Path], tuple[Path, ...]]], ...] = (
        ("heatmaps could not be drawn", f"python -m analysis.heatmaps {root}", _draw),
        ("report could not be written", f"finegrid report {root}", _report),
    )
    if _num_results(layout) > MOST_RESULTS:
        steps = steps[:1]
        console.print(escape(f"The report of so many cells takes a while; for it: finegrid report {root}"))
    files: list[Path] = []
    for what, again, step in steps:
        try:
            files.extend(step(root))
        except Exception as error:
            write_problem(layout, error)
            why = one_line(str(error))
            console.print(
                escape(f"The {what} ({why}); the results are safe. Again: {again}"),
                soft_wrap=True,
            )
    return tuple(files)


def _draw(root: Path) -> tuple[Path, ...]:
    from analysis.heatmaps import draw_defaults  # matplotlib is heavy: only when there is something to draw

    layout = Layout(root)
    files = (*draw_defaults(root), export(root, layout.tables / TABLE))
    _share(layout)
    return files


def _report(root: Path) -> tuple[Path, ...]:
    from analysis.report import write_report

    files = write_report(root)
    _share(Layout(root))
    return tuple(files[:1])


def _share(layout: Layout) -> None:
    if (mirror := layout.mirror) is not None:
        mirror.share_tree(layout.report)


def _num_results(layout: Layout) -> int:
    folder = layout.root / "cells"
    return sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0


def write_problem(layout: Layout, error: BaseException) -> Path | None:
    """Keep a traceback where people find it.

    Returns:
        logs/driver.log, or None when there is no results folder or the disk refuses.
    """
    if not layout.root.is_dir():
        return None
    path = layout.logs / "driver.log"
    try:
        path.parent.mkdir(exist_ok=True)
        with path.open("a", encoding="utf-8") as log:
            log.write(redact("".join(traceback.format_exception(error))))
    except OSError:
        logger.exception("cannot write %s", path)
        return None
    return path
