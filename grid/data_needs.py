"""Data sets that are still to be fetched from the hub: said with their size before, and refused without room for them.

Rows are read before anything else is checked, because the plan depends on them; `datasets` draws its own progress bar.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from grid.disk_needs import nearest_existing
from grid.hub_needs import HubName
from jobs.errors import EnvironmentProblem, Problem, TransientProblem
from jobs.spec import CellSpec, DataSpec

COPIES = 3
"""The files as they come, the library's own form of them, and the rows that we keep."""
Size = Callable[[DataSpec], int]
"""Bytes of a data set's files; raises EnvironmentProblem or TransientProblem."""


def announce_data(
    cells: Iterable[CellSpec],
    *,
    cache: Path,
    console: Console,
    refused: Collection[HubName] = (),
    size: Size | None = None,
    is_kept: Callable[[DataSpec, Path], bool] | None = None,
) -> list[Problem]:
    """Say which data sets are about to be fetched, and compare them with the free disk.

    Args:
        cells: declared cells.
        cache: FineGrid's cache folder.
        console: gets a line for each data set.
        refused: what the hub refused before; not asked again.
        size: asks the hub; None: the real one.
        is_kept: whether the rows lie in the cache; None: `jobs.data.hub.is_kept`.

    Returns:
        a problem when they do not fit. What the hub does not answer is left to those who read the rows.
    """
    from grid.hub import data_bytes, hub_cache  # huggingface_hub is heavy: only where the hub is used
    from jobs.data.hub import is_kept as lies_in_cache

    is_kept = is_kept or lies_in_cache
    size = size or (lambda data: data_bytes(data.id, data.revision, data.subset))
    total = 0
    # Label counts and sizes are other specs of the same files.
    sources = {(cell.data.id, cell.data.subset, cell.data.revision): cell.data for cell in cells}
    for data in sources.values():
        if ("dataset", data.id) in refused or is_kept(data, cache):
            continue
        try:
            num_bytes = size(data)
        except (EnvironmentProblem, TransientProblem):
            continue
        total += num_bytes
        console.print(escape(f"Fetching the data set {data.id} ({num_bytes / 1e6:,.1f} MB)"), soft_wrap=True)
    folder = nearest_existing(hub_cache())
    free = shutil.disk_usage(folder).free
    if total * COPIES <= free:
        return []
    rule = f"about {total * COPIES / 1e9:.1f} GB are needed for data sets and {free / 1e9:.1f} GB are free"
    return [Problem("the hub's cache", rule, str(folder), "free some, or choose another folder with HF_HOME")]
