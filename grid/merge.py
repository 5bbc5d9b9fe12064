"""`finegrid merge`: finished cells of several results folders brought into one, each checked byte for byte."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from grid.escape import visible
from grid.store.ownership import refuse_if_busy
from grid.store.reading import counted_results, read_grid
from grid.store.rebuild import rebuild, set_aside
from grid.store.schema import look
from jobs.durable import disk_problem, sync_folder, verify_folder
from jobs.errors import UserError
from jobs.spec import CellResult
from jobs.storage import (
    DamagedResult,
    Layout,
    NotUnderstood,
    bring_weights,
    has_cells,
    make_cell_folder,
    read_result,
    results_of,
    verify,
)
from jobs.temporary import new_temporary

_WEIGHTS = "weights"
"""Hash that says whether two results of one cell are the same training; baselines have none and are always equal."""


@dataclass(kw_only=True)
class MergeReport:
    """What was brought together."""

    into: str
    grid: str
    copied: int = 0
    already_there: int = 0
    """Cells that the target has with the same weights, or from the same attempt."""
    differing: list[str] = field(default_factory=list)
    """Cells that both have with different weights: the target's stayed."""
    damaged: list[str] = field(default_factory=list)
    """Folders of sources that are not what was published; left where they are."""
    set_aside: list[str] = field(default_factory=list)
    """Damaged folders of the target whose cells came whole from a source; now under quarantine/."""
    num_results: int = 0
    """In the target now."""

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return dict(vars(self)) | {"exit_code": self.exit_code}

    @property
    def exit_code(self) -> int:
        """1 when something stayed behind."""
        return 1 if self.differing or self.damaged else 0

    def render(self, console: Console) -> None:
        """Print the report for people."""
        kept = "two different results, kept the one here"
        aside = "damaged here, set aside"
        for title, lines in (("damaged, not copied", self.damaged), (kept, self.differing), (aside, self.set_aside)):
            for line in lines:
                console.print(Text(f"{title}: {visible(line)}", "yellow"), soft_wrap=True)
        line = f"{visible(self.into)}: {self.copied} cells copied, {self.already_there} were there already; "
        console.print(Text(f"{line}{self.num_results} results of grid {visible(self.grid)}", "bold"), soft_wrap=True)
        console.print(
            Text(
                f"  finegrid run CONFIG --results {visible(self.into)}     declares them and computes what is missing"
            ),
            soft_wrap=True,
        )


def merge(sources: Sequence[Path], into: Path, people: Console) -> MergeReport:
    """Copy every finished cell of some stores into another and make its index anew.

    Args:
        sources: results folders of one grid; only read.
        into: results folder of the same grid, or a folder that is to become one.
        people: where the progress bar goes.
    Returns:
        what was copied and what was not.
    Raises:
        UserError: no store, stores of different grids, a folder named twice; nothing was copied. Or a newer FineGrid
            wrote into the target.
        StoreBusy: a run is using the target.
        EnvironmentProblem: the disk refused; what was copied by then is whole.
    """
    layouts = [Layout(source.absolute()) for source in sources]
    target = Layout(into.absolute())
    grid = _common_grid(layouts, target)
    refuse_if_busy(target)
    report = MergeReport(into=str(into), grid=grid)
    folders = [folder for layout in layouts for folder in _finished(layout)]
    try:
        with Progress(console=people, transient=True) as progress:
            for folder in progress.track(folders, description="cells"):
                _bring(folder, target, report)
    except OSError as error:
        raise disk_problem(target.root, error) from error
    if not has_cells(target):
        raise UserError("there is no finished cell in any of them: nothing to merge")
    # What another machine finished counts, however often this one tried the cell since.
    report.num_results = rebuild(target.root, welcome={folder.parent.name for folder in folders}).num_results
    return report


def _common_grid(layouts: Sequence[Layout], target: Layout) -> str:
    if len({layout.root.resolve() for layout in [*layouts, target]}) < len(layouts) + 1:
        raise UserError("a results folder is named twice")
    grids = {str(layout.root): _grid_of(layout) for layout in layouts}
    if target.root.exists() and any(target.root.iterdir()):
        grids[str(target.root)] = _grid_of(target)
    if len(set(grids.values())) > 1:
        listed = ", ".join(f"{root}: {name}" for root, name in grids.items())
        raise UserError(f"results of different grids do not belong into one store ({listed})")
    return next(iter(grids.values()))


def _finished(layout: Layout) -> list[Path]:
    with look(layout.root) as connection:
        return counted_results(layout, connection)


def _grid_of(layout: Layout) -> str:
    with look(layout.root) as connection:
        return read_grid(connection)


def _bring(folder: Path, target: Layout, report: MergeReport) -> None:
    try:
        verify(folder)
        result = read_result(folder)
    except DamagedResult as error:
        report.damaged.append(f"{folder}: {error}")
        return
    cell_id = result.cell.cell_id
    for there in results_of(target, cell_id):
        try:
            verify(there)
            found = read_result(there)
        except NotUnderstood as error:
            raise UserError(f"{error}; update FineGrid") from error
        except DamagedResult as error:
            report.set_aside.append(set_aside(target, there, str(error)))
            continue
        if there.name == folder.name or _is_same(found, result):
            report.already_there += 1
        else:
            report.differing.append(f"{cell_id} ({result.cell.title}): {folder}")
        return
    _copy(folder, target, cell_id)
    report.copied += 1


def _is_same(one: CellResult, other: CellResult) -> bool:
    return one.hashes.get(_WEIGHTS) == other.hashes.get(_WEIGHTS)


def _copy(folder: Path, target: Layout, cell_id: str) -> None:
    """Whole or not at all: checked in a temporary folder, then renamed."""
    target.root.mkdir(parents=True, exist_ok=True)
    place = target.cell(cell_id)
    temporary = new_temporary(target.temporary)
    try:
        copied = temporary / folder.name
        bring_weights(folder)
        shutil.copytree(folder, copied)
        verify_folder(copied)
        make_cell_folder(place)
        copied.rename(place / folder.name)
        sync_folder(place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
