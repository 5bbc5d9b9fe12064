"""What the logs of a store say about single cells: an excerpt for people, each file read once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from analysis.report_facts import AttemptFacts
from jobs.storage import Layout

MOST_LINES: Final = 60
MOST_BYTES: Final = 8 << 20
"""Of a log no more than its end is read."""
_KEPT_LEVELS: Final = ("warning", "error", "critical")


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """One event: when, how bad, and what was said; a traceback is lines of their own."""

    time: str
    level: str
    text: str


@dataclass(frozen=True, kw_only=True)
class LogExcerpt:
    """The lines of one attempt that concern a cell."""

    title: str
    lines: tuple[LogLine, ...]
    note: str
    """What was left out, or why there are no lines; empty otherwise."""


@dataclass
class Logs:
    """Reads the logs of one results folder; keeps what it has parsed."""

    root: Path | None
    _parsed: dict[str, tuple[list[dict[str, Any]], str]] = field(default_factory=dict, init=False)

    def excerpts(self, cell_id: str, attempts: Sequence[AttemptFacts]) -> tuple[LogExcerpt, ...]:
        """The last lines of every attempt at a cell, and warnings of its pack.

        Args:
            cell_id: whose lines.
            attempts: oldest first.
        Returns:
            one excerpt an attempt; one that cannot be read says why.
        """
        found = []
        for one in attempts:
            title = f"Attempt {one.attempt} of run {one.epoch}: {one.state}"
            entries, problem = self._read(one.log)
            lines = [line for entry in entries if _concerns(entry, cell_id) for line in _lines(entry)]
            more = len(lines) - MOST_LINES
            note = problem or (f"{more} earlier lines are left out" if more > 0 else "")
            found.append(LogExcerpt(title=title, lines=tuple(lines[-MOST_LINES:]), note=note))
        return tuple(found)

    def _read(self, log: str | None) -> tuple[list[dict[str, Any]], str]:
        if log is None or self.root is None:
            return [], "no log was recorded"
        if log not in self._parsed:
            self._parsed[log] = _parsed(Layout(self.root), log)
        return self._parsed[log]


def _parsed(layout: Layout, log: str) -> tuple[list[dict[str, Any]], str]:
    path = (layout.root / log).resolve()
    if not path.is_relative_to(layout.logs.resolve()):
        return [], "the log lies outside the logs folder and is not read"
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - MOST_BYTES))
            text = file.read(MOST_BYTES).decode("utf-8", "replace")
    except (OSError, ValueError) as error:
        return [], f"the log {log} cannot be read ({getattr(error, 'strerror', None) or error})"
    # Only line feeds end a line: a message may hold any other sign.
    entries = [entry for line in text.split("\n") if (entry := _entry(line)) is not None]
    return entries, ""


def _entry(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None  # the first line may be cut by MOST_BYTES, the last one by a kill
    return found if isinstance(found, dict) else None


def _concerns(entry: dict[str, Any], cell_id: str) -> bool:
    whose = entry.get("cell_id")
    return whose == cell_id or (whose is None and entry.get("level") in _KEPT_LEVELS)


def _lines(entry: dict[str, Any]) -> list[LogLine]:
    time, level = str(entry.get("time") or "")[:19].replace("T", " "), str(entry.get("level") or "")
    said = " ".join(str(entry[name]) for name in ("event", "message") if entry.get(name))
    lines = [LogLine(time=time, level=level, text=said)]
    for line in str(entry.get("traceback") or "").rstrip().split("\n"):
        if line:
            lines.append(LogLine(time="", level=level, text=line))
    return lines
