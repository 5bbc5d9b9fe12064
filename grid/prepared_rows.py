"""Write the rows that a grid's cells train on, select on and are tested on: what `finegrid data CONFIG` does."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from grid.cells import declared_cells
from grid.config import load_config
from grid.escape import visible
from grid.resolve import OnlineResolver
from jobs.data.table import write_rows
from jobs.errors import UserError
from jobs.storage import cache_root


@dataclass(frozen=True, kw_only=True)
class PreparedRows:
    """What was written."""

    file: str
    num_sets: int
    """Different choices of rows: label count, size and seed."""
    num_rows: int

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return asdict(self) | {"exit_code": 0}

    def render(self, console: Console) -> None:
        """Print the report for people."""
        line = f"{visible(self.file)}: {self.num_rows:,} rows in {self.num_sets} sets of rows"
        console.print(Text(line), soft_wrap=True)


def write_prepared_rows(
    name_or_path: str | None, overrides: tuple[str, ...], out: Path, people: Console
) -> PreparedRows:
    """Prepare the rows of every declared cell, each distinct choice once, and write them into one Parquet file.

    Args:
        name_or_path: as for `run`.
        overrides: `path=value` of each --set.
        out: a .parquet file.
        people: where the progress bar goes.
    Raises:
        UserError: another suffix, no folder, or data that cannot supply what the grid asks for.
        EnvironmentProblem: the hub, or the disk.
    """
    if out.suffix != ".parquet":
        raise UserError(f"--out {out}: rows are written as Parquet; name the file *.parquet")
    if not out.absolute().parent.is_dir():
        raise UserError(f"--out {out}: there is no folder {out.absolute().parent}")
    cells = declared_cells(load_config(name_or_path, overrides=overrides, allow_large=True), OnlineResolver({}))
    sets = list(dict.fromkeys((cell.data, cell.seed) for cell in cells))
    if len({data.task for data, _ in sets}) > 1:
        raise UserError("the grid has cells of several tasks, which do not fit into one table: choose one with --set")
    with Progress(console=people, transient=True) as progress:
        bar = progress.add_task("rows", total=len(sets))
        num_rows = write_rows(sets, out, cache=cache_root(), on_set=lambda _: progress.advance(bar))
    return PreparedRows(file=str(out), num_sets=len(sets), num_rows=num_rows)
