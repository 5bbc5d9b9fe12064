"""Write the rows that a grid's cells train on, select on and are tested on: what `finegrid data CONFIG` does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from jobs.data.table import WrittenSet, write_rows
from jobs.errors import UserError
from jobs.storage import cache_root

MOST_SETS = 20
"""Sets that are shown to people, one a line."""


@dataclass(frozen=True, kw_only=True)
class PreparedRows:
    """What was written."""

    file: str
    sets: tuple[WrittenSet, ...]
    """Different choices of rows: label count, size and seed."""

    @property
    def num_rows(self) -> int:
        """Rows of all sets and splits."""
        return sum(count for one in self.sets for count in one.rows.values())

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        facts = {"file": self.file, "num_sets": len(self.sets), "num_rows": self.num_rows}
        return facts | {"sets": [asdict(one) for one in self.sets], "exit_code": 0}

    def render(self, console: Console) -> None:
        """Print the report for people."""
        for line in self._lines():
            console.print(Text(visible(line)), soft_wrap=True)

    def _lines(self) -> Iterator[str]:
        for number, one in enumerate(self.sets[:MOST_SETS]):
            rows = "all" if one.num_samples is None else f"{one.num_samples:,}"
            splits = ", ".join(f"{count:,} {name}" for name, count in one.rows.items())
            several = [f"{mean:.2f} {name}" for name, mean in one.labels_per_row.items() if mean != 1]
            labels = f"; labels per row: {', '.join(several)}" if several else ""
            yield f"set {number}: {one.num_labels} labels, {rows} rows, seed {one.seed}: {splits}{labels}"
        if len(self.sets) > MOST_SETS:
            yield f"and {len(self.sets) - MOST_SETS} more sets"
        names = dict.fromkeys(name for one in self.sets for name in one.counts)
        for name in names:
            yield f"{name}: {_range([one.counts.get(name, 0) for one in self.sets])}"
        for mark in dict.fromkeys(mark for one in self.sets for mark in one.marks):
            yield f"marked: {mark}"
        yield f"{self.file}: {self.num_rows:,} rows in {len(self.sets)} sets"


def _range(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


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
        written = write_rows(sets, out, cache=cache_root(), on_set=lambda _: progress.advance(bar))
    return PreparedRows(file=str(out), sets=tuple(written))
