"""What a run leaves for people at its end: the default heatmaps and one table of all cells."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from grid.store.export import export
from jobs.errors import one_line
from jobs.redaction import redact
from jobs.storage import Layout

TABLE = "cells.csv"

logger = logging.getLogger(__name__)


def finish_pictures(root: Path, *, has_news: bool, console: Console) -> tuple[Path, ...]:
    """Draw the default heatmaps and write the table, unless those of an earlier run still hold.

    A picture that cannot be drawn is told and logged; it does not change how the run ended.

    Args:
        root: results folder.
        has_news: cells were finished since.
        console: for people.
    Returns:
        the files written.
    """
    layout = Layout(root)
    table = layout.tables / TABLE
    if not has_news and table.exists():
        return ()
    try:
        from analysis.heatmaps import draw_defaults  # matplotlib is heavy: only when there is something to draw

        files = (*draw_defaults(root), export(root, table))
        if (mirror := layout.mirror) is not None:
            mirror.share_tree(layout.report)
        return files
    except Exception as error:
        write_problem(layout, error)
        again = f"python -m analysis.heatmaps {root}"
        console.print(
            escape(f"The heatmaps could not be drawn ({one_line(str(error))}); the results are safe. Again: {again}"),
            soft_wrap=True,
        )
        return ()


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
