"""What `finegrid status` says: how many cells stand where, and why each unfinished one is not done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from rich.console import Console
from rich.segment import Segment, Segments
from rich.style import Style
from rich.text import Text
from sqlalchemy.engine import Connection

from grid.amounts import duration
from grid.escape import visible
from grid.pack_hours import pack_hours
from grid.store import schema
from grid.store.lock import Holder
from grid.store.ownership import current_holder
from grid.store.reading import read_grid, read_states
from grid.store.rows import CellRow
from grid.store.schema import look
from grid.tuning.outcomes import UNSETTLED_KINDS
from jobs.spec import RESUMED_KINDS, CellState, FailureKind
from jobs.storage import Layout

_COLOURS: Final = {
    CellState.DONE: "green",
    CellState.RUNNING: "cyan",
    CellState.INTERRUPTED: "yellow",
    CellState.PENDING: "default",
    CellState.FAILED: "red",
}
_STYLES: Final = {state: Style.parse(colour) for state, colour in _COLOURS.items()}
_SHOWN_HOURS: Final = 0.05
_DIM: Final = Style(dim=True)
_ORDER: Final = (CellState.DONE, CellState.RUNNING, CellState.INTERRUPTED, CellState.PENDING, CellState.FAILED)


@dataclass(frozen=True, kw_only=True)
class LastRun:
    """The newest run of a store."""

    epoch: int
    host: str
    pid: int
    started_at: str
    ended_at: str | None
    """None: it is still going on, or it was killed."""
    exit_code: int | None


@dataclass(frozen=True, kw_only=True)
class StatusReport:
    """Where every declared cell of a store stands."""

    root: str
    grid: str
    counts: dict[CellState, int]
    """Declared cells by state, all states named."""
    unfinished: tuple[CellRow, ...]
    """Declared cells that are not done, in declared order, and candidates that their arms wait for."""
    retired: dict[CellState, int]
    """Cells that the last declaration no longer names."""
    candidates: dict[CellState, int]
    """Candidates of a tuning, which are no cells of the grid."""
    last_run: LastRun | None
    in_use_by: Holder | None
    """The process that holds the store, when it can be seen from this machine."""
    pack_hours: float = 0.0
    """How long packs have kept devices busy, all runs together."""
    dollars_per_hour: float | None = None
    """What a device costs; None: nobody said."""

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return {
            "results": self.root,
            "grid": self.grid,
            "counts": {str(state): number for state, number in self.counts.items()},
            "total": sum(self.counts.values()),
            "unfinished": [_cell_json(row) for row in self.unfinished],
            "retired": {str(state): number for state, number in self.retired.items() if number},
            **({"candidates": _named(self.candidates)} if sum(self.candidates.values()) else {}),
            "last_run": vars(self.last_run) if self.last_run else None,
            "in_use_by": vars(self.in_use_by) if self.in_use_by else None,
            "pack_hours": round(self.pack_hours, 4),
            "dollars": None if self.dollars_per_hour is None else round(self.pack_hours * self.dollars_per_hour, 2),
        }

    def render(self, console: Console) -> None:
        """Print the report for people."""
        console.print(self._headline(), soft_wrap=True)
        console.print(_counts_line(self.counts), soft_wrap=True)
        if sum(self.retired.values()):
            console.print(Text("no longer declared: ").append_text(_counts_line(self.retired)), soft_wrap=True)
        if sum(self.candidates.values()):
            console.print(Text("candidates of the tuning: ").append_text(_counts_line(self.candidates)), soft_wrap=True)
        if self.unfinished:
            # Segments are printed as they are; Text would measure and divide each of ten thousand lines.
            parts = [part for row in self.unfinished for part in _unfinished_line(row, self.in_use_by)]
            console.print(Segments(parts), soft_wrap=True, end="")
        if self.pack_hours >= _SHOWN_HOURS or self.dollars_per_hour is not None:
            console.print(Text(self._cost_line()), soft_wrap=True)
        for line in _advice(self.unfinished, self.in_use_by):
            console.print(Text(line), soft_wrap=True)

    def _cost_line(self) -> str:
        text = f"packs ran for {duration(3600 * self.pack_hours)}"
        if self.dollars_per_hour is None:
            return text
        return f"{text}, about ${self.pack_hours * self.dollars_per_hour:,.2f}"

    def _headline(self) -> Text:
        text = Text(f"{visible(self.root)}: grid {visible(self.grid)}", style="bold")
        run = self.last_run
        if self.in_use_by:
            text.append(f", in use by {visible(str(self.in_use_by))}")
        elif run and run.ended_at:
            text.append(f", run {run.epoch} ended {run.ended_at} with exit code {run.exit_code}")
        elif run:
            text.append(f", run {run.epoch} began {run.started_at} on {visible(run.host)}; its end is not recorded")
        return text


def status(root: Path, *, dollars_per_hour: float | None = None) -> StatusReport:
    """Look at a store without changing it; a run may be going on.

    Args:
        root: results folder.
        dollars_per_hour: what a device costs, to say what the packs have cost so far.

    Returns:
        the report.

    Raises:
        UserError: not a results folder, or one of another schema version.
        EnvironmentProblem: the index is damaged.
    """
    layout = Layout(root)
    with look(root) as connection:
        grid, rows, last_run = read_grid(connection), read_states(connection), _last_run(connection)
        tried = set(connection.execute(sa.select(schema.cells.c.cell_id).where(schema.is_candidate)).scalars())
        hours = pack_hours(connection, is_running=last_run is not None and last_run.ended_at is None)
    holder = current_holder(layout)
    declared = [row for row in rows.values() if not row.retired and row.cell_id not in tried]
    candidates = [row for row in rows.values() if not row.retired and row.cell_id in tried]
    waited_for = [row for row in candidates if row.kind is None or row.kind in UNSETTLED_KINDS]
    return StatusReport(
        root=layout.name,
        grid=grid,
        counts=_count(declared),
        unfinished=tuple(row for row in [*declared, *waited_for] if row.state is not CellState.DONE),
        retired=_count(row for row in rows.values() if row.retired),
        candidates=_count(candidates),
        last_run=last_run,
        in_use_by=holder if last_run and last_run.ended_at is None else None,
        pack_hours=hours,
        dollars_per_hour=dollars_per_hour,
    )


def _last_run(connection: Connection) -> LastRun | None:
    runs = schema.runs
    query = sa.select(runs.c.epoch, runs.c.host, runs.c.pid, runs.c.started_at, runs.c.ended_at, runs.c.exit_code)
    row = connection.execute(query.order_by(runs.c.epoch.desc()).limit(1)).mappings().one_or_none()
    return LastRun(**row) if row else None


def _count(rows: Iterable[CellRow]) -> dict[CellState, int]:
    found = Counter(row.state for row in rows)
    return {state: found[state] for state in _ORDER}


def _named(counts: dict[CellState, int]) -> dict[str, int]:
    return {str(state): number for state, number in counts.items()}


def _cell_json(row: CellRow) -> dict[str, Any]:
    return {
        "cell_id": row.cell_id,
        "title": row.title,
        "state": str(row.state),
        "kind": str(row.kind) if row.kind else None,
        "reason": row.reason,
        "epoch": row.epoch,
        "attempt": row.attempt,
        "log": row.log,
    }


def _counts_line(counts: dict[CellState, int]) -> Text:
    parts = [Text(f"{number} {state}", style=_COLOURS[state]) for state, number in counts.items() if number]
    return Text(", ").join([*parts, Text(f"{sum(counts.values())} in all")])


def _unfinished_line(row: CellRow, holder: Holder | None) -> list[Segment]:
    line = [
        Segment(f"{row.state:<11} ", _STYLES[row.state]),
        Segment(f"{row.cell_id}  {visible(row.title)}: {_why(row, holder)}"),
        Segment(f"  ({visible(row.log)})" if row.log else "", _DIM),
    ]
    return [*line, Segment.line()]


def _why(row: CellRow, holder: Holder | None) -> str:
    if row.state is CellState.FAILED:
        return f"{row.kind}: {visible(row.reason or 'no reason recorded')}"
    if row.state is CellState.RUNNING:
        number = f"run {row.epoch} attempt {row.attempt}"
        return number if holder else f"{number}; no run of this machine holds the store now"
    return visible(row.reason) if row.reason else "not started yet"


def _advice(unfinished: Sequence[CellRow], holder: Holder | None) -> list[str]:
    waiting = sorted({row.kind for row in unfinished if row.kind and row.kind not in RESUMED_KINDS})
    resumable = sum(row.kind is None or row.kind in RESUMED_KINDS for row in unfinished)
    lines = []
    if resumable and not holder:
        lines.append(f"The same command runs {resumable} of them.")
    if waiting:
        what = {FailureKind.OUT_OF_MEMORY: "a larger device", FailureKind.DIVERGED: "a changed recipe"}
        needs = sorted({what.get(kind, "a changed config or data") for kind in waiting})
        lines.append(f"Failed as {', '.join(waiting)}: waits for {' or '.join(needs)}, or --retry-failed.")
    return lines
