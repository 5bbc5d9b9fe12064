"""What `finegrid logs CELL RESULTS` shows: the log lines of every attempt at one cell."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from grid.escape import visible
from grid.store.reading import read_attempts, read_states
from grid.store.rows import CellRow
from grid.store.schema import look
from jobs.errors import UserError
from jobs.storage import Layout

_MAX_LISTED = 10
_COLOURS: Final = {"error": "red", "critical": "red", "warning": "yellow"}


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """One event of a pack log that concerns the cell or the whole pack."""

    time: str
    level: str
    event: str
    message: str
    traceback: str
    is_of_pack: bool
    """True when the line names no cell."""


@dataclass(frozen=True, kw_only=True)
class AttemptLog:
    """One attempt and what its pack wrote about it."""

    epoch: int
    attempt: int
    state: str
    kind: str | None
    reason: str | None
    path: str | None
    """The whole log, relative to the results folder."""
    lines: tuple[LogLine, ...]
    problem: str | None
    """Why there are no lines, or that the last one is cut off."""


@dataclass(frozen=True, kw_only=True)
class CellLogs:
    """One cell with the logs of its attempts, oldest first."""

    cell: CellRow
    attempts: tuple[AttemptLog, ...]

    def to_json(self) -> dict[str, Any]:
        """The logs as plain JSON values."""
        attempts = [vars(attempt) | {"lines": [vars(line) for line in attempt.lines]} for attempt in self.attempts]
        return {
            "cell_id": self.cell.cell_id,
            "title": self.cell.title,
            "state": str(self.cell.state),
            "reason": self.cell.reason,
            "attempts": attempts,
        }

    def render(self, console: Console) -> None:
        """Print the logs for people; control characters are shown, not obeyed."""
        cell = self.cell
        console.print(Text(f"{cell.cell_id}  {visible(cell.title)}: {cell.state}", style="bold"), soft_wrap=True)
        if not self.attempts:
            console.print(Text(visible(cell.reason or "never started: there is no log")), soft_wrap=True)
        for attempt in self.attempts:
            _render_attempt(attempt, console)


def cell_logs(root: Path, query: str) -> CellLogs:
    """Collect the log lines of one cell.

    Args:
        root: results folder.
        query: first characters of a cell id, or words of a cell's title.

    Returns:
        the cell and its attempts.

    Raises:
        UserError: not a results folder, no such cell, or several.
        EnvironmentProblem: the index is damaged.
    """
    layout = Layout(root)
    with look(root) as connection:
        cell = find_cell(list(read_states(connection).values()), query)
        rows = read_attempts(connection, cell.cell_id)
    return CellLogs(cell=cell, attempts=tuple(_attempt_log(layout, cell.cell_id, row) for row in rows))


def find_cell(cells: Sequence[CellRow], query: str) -> CellRow:
    """The one cell whose id begins with the query or whose title holds all its words; declared before retired ones.

    Args:
        cells: to choose from.
        query: as typed.

    Raises:
        UserError: none or several; the message lists candidates.
    """
    wanted = query.strip().lower()
    by_id = [cell for cell in cells if wanted and cell.cell_id.startswith(wanted)]
    words = wanted.split()
    found = by_id or [cell for cell in cells if words and _has_words(cell.title, words)]
    declared = [cell for cell in found if not cell.retired]
    if len(found) == 1 or (len(declared) == 1 and not by_id):
        return (declared or found)[0]  # a changed recipe or file leaves retired cells of the same title behind
    if found:
        listed = _listed(found)
        raise UserError(f"{visible(query)!r} names {len(found)} cells; give more of the id or more words:\n{listed}")
    by_title = {cell.title.lower(): cell for cell in cells}
    nearest = [by_title[title] for title in difflib.get_close_matches(wanted, list(by_title), n=3, cutoff=0.3)]
    hint = f"; nearest:\n{_listed(nearest)}" if nearest else f"; such as:\n{_listed(cells[:3])}" if cells else ""
    raise UserError(f"no cell has an id or a title like {visible(query)!r}{hint}")


def _has_words(title: str, words: Sequence[str]) -> bool:
    # Words in a row, so that "2 labels" does not find "seed 2" of a cell with 4 labels.
    return f" {' '.join(words)} " in f" {title.lower()} " or set(words) <= set(title.lower().split())


def _listed(cells: Sequence[CellRow]) -> str:
    lines = [
        f"  {cell.cell_id}  {visible(cell.title)}: {cell.state}{' (no longer declared)' if cell.retired else ''}"
        for cell in cells[:_MAX_LISTED]
    ]
    more = len(cells) - _MAX_LISTED
    return "\n".join([*lines, f"  and {more} more"] if more > 0 else lines)


def _attempt_log(layout: Layout, cell_id: str, row: Any) -> AttemptLog:
    lines, problem = _read_lines(layout, row["log"], cell_id)
    return AttemptLog(
        epoch=row["epoch"],
        attempt=row["attempt"],
        state=row["state"],
        kind=row["kind"],
        reason=row["reason"],
        path=row["log"],
        lines=lines,
        problem=problem,
    )


def _read_lines(layout: Layout, log: str | None, cell_id: str) -> tuple[tuple[LogLine, ...], str | None]:
    if log is None:
        return (), "no log was recorded"
    path = (layout.root / log).resolve()
    if not path.is_relative_to(layout.logs.resolve()):
        return (), "the log lies outside the logs folder and is not read"
    try:
        mirror = layout.mirror
        text = path.read_text("utf-8", errors="replace") if mirror is None else mirror.log_text(layout.root / log)
    except OSError as error:
        return (), f"the log cannot be read ({error.strerror})"
    entries, num_unreadable = _parse(text)
    problem = f"{num_unreadable} lines cannot be read (a process was killed while writing)" if num_unreadable else None
    return tuple(_log_line(entry) for entry in entries if entry.get("cell_id") in (None, cell_id)), problem


def _parse(text: str) -> tuple[list[dict[str, Any]], int]:
    parsed = [_entry(line) for line in text.split("\n") if line.strip()]
    good = [entry for entry in parsed if entry is not None]
    return good, len(parsed) - len(good)


def _entry(line: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _log_line(entry: dict[str, Any]) -> LogLine:
    texts = {name: str(entry.get(name) or "") for name in ("time", "level", "event", "message", "traceback")}
    return LogLine(**texts, is_of_pack=entry.get("cell_id") is None)


def _render_attempt(attempt: AttemptLog, console: Console) -> None:
    ending = ": ".join(filter(None, [attempt.kind, attempt.reason]))
    head = f"run {attempt.epoch} attempt {attempt.attempt}: {attempt.state}"
    text = Text(f"\n{head}", style="bold").append(f", {visible(ending)}" if ending else "", style="default")
    console.print(text.append(f"  ({visible(attempt.path or 'no log')})", style="dim"), soft_wrap=True)
    for line in attempt.lines:
        console.print(Text("\n").join(_rendered(line)), soft_wrap=True)
    if attempt.problem:
        console.print(Text(f"  {visible(attempt.problem)}", style="dim"), soft_wrap=True)


def _rendered(line: LogLine) -> Iterator[Text]:
    head = " ".join(filter(None, [line.time, line.level, "[pack]" if line.is_of_pack else "", line.event]))
    style = _COLOURS.get(line.level.lower(), "default")
    yield Text(f"  {visible(head)}: ", style="dim").append(visible(line.message), style=style)
    if line.traceback:
        for part in line.traceback.rstrip("\n").split("\n"):
            yield Text(f"    {visible(part, keep_lines=True)}", style="dim")
