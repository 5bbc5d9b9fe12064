"""Check a store, and repair it: what `finegrid doctor RESULTS [--rebuild]` does."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from rich.console import Console
from rich.text import Text
from sqlalchemy.engine import Connection

from grid.doctor_files import file_notes, mend_files
from grid.escape import visible
from grid.store import schema
from grid.store.ingest import Published, read_published
from grid.store.places import index_to_read
from grid.store.problems import not_a_store
from grid.store.rebuild import RebuildReport, rebuild
from grid.store.rows import metric_rows, result_row
from jobs.errors import EnvironmentProblem, UserError
from jobs.spec import CellState
from jobs.storage import DamagedResult, Layout, complete_results, has_cells

_MAX_SHOWN = 50
_NOT_COMPARED = frozenset({"ingested_at"})


@dataclass(frozen=True, kw_only=True)
class DoctorReport:
    """What was found, after the rebuild when there was one."""

    root: str
    problems: tuple[str, ...]
    """What has to be repaired."""
    notes: tuple[str, ...]
    """What the next run settles by itself."""
    num_folders: int
    """Result folders that were checked."""
    rebuilt: RebuildReport | None = None
    set_aside: tuple[str, ...] = ()
    """Damaged checkpoints that were renamed, each with the reason."""

    @property
    def is_healthy(self) -> bool:
        """True when nothing has to be repaired."""
        return not self.problems

    @property
    def exit_code(self) -> int:
        """1 for a store that needs somebody's help."""
        return 0 if self.is_healthy else 1

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return asdict(self) | {"healthy": self.is_healthy}

    def render(self, console: Console) -> None:
        """Print the report for people."""
        if self.rebuilt:
            _render_rebuilt(self.rebuilt, console)
        for item in self.set_aside:
            console.print(Text(visible(f"set aside: {item}")), soft_wrap=True)
        for problem in self.problems[:_MAX_SHOWN]:
            console.print(Text("problem: ", style="red").append(visible(problem), style="default"), soft_wrap=True)
        if len(self.problems) > _MAX_SHOWN:
            console.print(Text(f"and {len(self.problems) - _MAX_SHOWN} more problems"))
        for note in self.notes:
            console.print(Text(f"note: {visible(note)}"), soft_wrap=True)
        verdict = "the store is sound" if self.is_healthy else "repair with: finegrid doctor RESULTS --rebuild"
        console.print(
            Text(f"{visible(self.root)}: {self.num_folders} result folders checked; {verdict}"), soft_wrap=True
        )


def doctor(root: Path, *, rebuild_index: bool = False) -> DoctorReport:
    """Compare index and result folders byte for byte, and look at everything else in a results folder.

    Args:
        root: results folder.
        rebuild_index: first make a new index from the folders, set damaged folders and checkpoints aside,
            and remove what dead processes left.

    Returns:
        what was found, and done.

    Raises:
        UserError: not a results folder, or one of another schema version.
        StoreBusy: rebuilding while a run uses the store.
    """
    layout = Layout(root.absolute())
    if not index_to_read(layout).exists() and not has_cells(layout):
        raise not_a_store(layout)
    rebuilt = rebuild(root) if rebuild_index else None
    set_aside = mend_files(layout) if rebuild_index else ()
    good, problems = _check_folders(layout)
    num_folders = len(good) + len(problems)
    more, notes = _check_index(layout, good)
    notes += file_notes(layout)
    return DoctorReport(
        root=layout.name,
        problems=(*problems, *more),
        notes=tuple(notes),
        num_folders=num_folders,
        rebuilt=rebuilt,
        set_aside=set_aside,
    )


def _check_folders(layout: Layout) -> tuple[list[Published], list[str]]:
    good, problems = [], []
    for folder in complete_results(layout):
        try:
            good.append(read_published(layout, folder))
        except DamagedResult as error:
            problems.append(str(error))
    return good, problems


def _check_index(layout: Layout, good: list[Published]) -> tuple[list[str], list[str]]:
    index = index_to_read(layout)
    if not index.exists():
        return ["there is no index (grid.db)"], []
    try:
        engine = schema.open_read_only(layout.root)
    except UserError:
        raise
    except EnvironmentProblem as error:
        return [str(error)], []
    try:
        with engine.connect() as connection, connection.begin():
            problems = list(_structure_problems(connection))
            if problems:
                return problems, []
            return list(_differences(connection, layout, good)), list(_unknown_results(connection, good))
    except (sa.exc.DatabaseError, sqlite3.DatabaseError) as error:
        return [f"{index}: {getattr(error, 'orig', None) or error}"], []
    finally:
        engine.dispose()


def _structure_problems(connection: Connection) -> Iterator[str]:
    if connection.dialect.name != "sqlite":
        return  # a server checks its files itself
    for row in connection.execute(sa.text("PRAGMA integrity_check(10)")):
        if row[0] != "ok":
            yield f"index: {row[0]}"
    for row in connection.execute(sa.text("PRAGMA foreign_key_check")):
        yield f"index: a row of {row[0]} refers to a cell that is not there"


def _differences(connection: Connection, layout: Layout, good: list[Published]) -> Iterator[str]:
    """Every done cell has one row in results, a sound folder, and the numbers that stand in it."""
    by_folder = {published.folder: published for published in good}
    results = {row["cell_id"]: row for row in connection.execute(sa.select(schema.results)).mappings()}
    done = sa.select(schema.cells.c.cell_id, schema.cells.c.title).where(schema.cells.c.state == str(CellState.DONE))
    for cell_id, title in connection.execute(done.order_by(schema.cells.c.cell_id)):
        row = results.pop(cell_id, None)
        if row is None:
            yield f"cell {cell_id} ({title}) is done but has no result in the index"
        elif (published := by_folder.get(row["folder"])) is None:
            yield f"cell {cell_id} ({title}) is done but {layout.root / row['folder']} is missing or damaged"
        elif not _is_equal(connection, row, published):
            yield f"cell {cell_id} ({title}): the index differs from {layout.root / row['folder']}"
    for cell_id in results:
        yield f"cell {cell_id} has a result in the index but is not done"


def _is_equal(connection: Connection, row: Any, published: Published) -> bool:
    expected = result_row(published.result, published.folder, "")
    if any(row[name] != value for name, value in expected.items() if name not in _NOT_COMPARED):
        return False
    query = sa.select(schema.metrics).where(schema.metrics.c.cell_id == published.result.cell.cell_id)
    stored = {_key(metric): dict(metric) for metric in connection.execute(query).mappings()}
    return stored == {_key(metric): metric for metric in metric_rows(published.result)}


def _key(metric: Any) -> tuple[str, str, str]:
    return metric["split"], metric["name"], metric["label"]


def _unknown_results(connection: Connection, good: list[Published]) -> Iterator[str]:
    cells = schema.cells
    query = sa.select(cells.c.cell_id, cells.c.state, cells.c.epoch, cells.c.attempt)
    known = {row.cell_id: row for row in connection.execute(query)}
    for published in good:
        result = published.result
        row = known.get(result.cell.cell_id)
        if row is None:
            yield f"{published.folder} belongs to a cell that was never declared"
        elif row.state == CellState.DONE:
            if (row.epoch, row.attempt) != (result.epoch, result.attempt):
                yield f"{published.folder} is not used: the cell is done with another attempt"
        elif (result.epoch, result.attempt) < (row.epoch, row.attempt):
            yield f"{published.folder} is not used: a newer attempt was handed out after it"
        else:
            yield f"{published.folder} is not in the index yet; the next run takes it in"


def _render_rebuilt(report: RebuildReport, console: Console) -> None:
    lines = [f"new index: {report.num_results} results, {report.num_other_cells} cells without one"]
    if report.backup:
        lines.append(f"the old index is kept as {report.backup}")
    lines += [f"set aside: {item}" for item in report.quarantined]
    lines += [f"lost from the old index: {item}" for item in report.lost]
    for line in lines:
        console.print(Text(visible(line)), soft_wrap=True)
