"""Excerpts of logs: whose lines, how many, tracebacks, and files that are not where they should be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from analysis.cell_page_log import MOST_LINES, Logs
from analysis.report_facts import AttemptFacts

CELL = "0123456789abcdef"


def attempt(log: str | None, **changes: Any) -> AttemptFacts:
    values: dict[str, Any] = {"epoch": 1, "attempt": 2, "state": "failed", "kind": "bug", "reason": "x", "log": log}
    return AttemptFacts(**{**values, **changes})


def write(folder: Path, *entries: dict[str, Any], name: str = "1-p.jsonl", tail: str = "") -> Path:
    logs = folder / "logs"
    logs.mkdir(exist_ok=True)
    (logs / name).write_text("".join(json.dumps(e) + "\n" for e in entries) + tail, encoding="utf-8")
    return folder


def entry(message: str, cell: str | None = CELL, **more: Any) -> dict[str, Any]:
    found = {"time": "2026-01-02T03:04:05.678+00:00", "level": "info", "event": "log", "message": message, **more}
    return found if cell is None else {**found, "cell_id": cell}


def test_lines_of_the_cell_and_warnings_of_its_pack(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        entry("mine"),
        entry("of another", cell="f" * 16),
        entry("of the pack", cell=None),
        entry("a warning of the pack", cell=None, level="warning"),
        tail='{"cut',
    )
    (excerpt,) = Logs(root).excerpts(CELL, [attempt("logs/1-p.jsonl")])
    assert [line.text for line in excerpt.lines] == ["log mine", "log a warning of the pack"]
    assert excerpt.lines[0].time == "2026-01-02 03:04:05"
    assert excerpt.title == "Attempt 2 of run 1: failed" and excerpt.note == ""


def test_tracebacks_are_lines_and_long_logs_are_cut_in_front(tmp_path: Path) -> None:
    root = write(tmp_path, *(entry(f"line {i}") for i in range(100)), entry("end", traceback="Traceback\n  File\n"))
    (excerpt,) = Logs(root).excerpts(CELL, [attempt("logs/1-p.jsonl")])
    assert len(excerpt.lines) == MOST_LINES
    assert [line.text for line in excerpt.lines[-3:]] == ["log end", "Traceback", "  File"]
    assert excerpt.note == f"{103 - MOST_LINES} earlier lines are left out"


def test_what_cannot_be_read_says_so(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "secret.jsonl").write_text(json.dumps(entry("secret")))
    logs = Logs(tmp_path)
    notes = [
        logs.excerpts(CELL, [attempt(log)])[0].note
        for log in (None, "logs/gone.jsonl", "secret.jsonl", "logs/../secret.jsonl")
    ]
    assert notes[0] == "no log was recorded"
    assert "cannot be read" in notes[1]
    assert notes[2] == notes[3] == "the log lies outside the logs folder and is not read"
    assert Logs(None).excerpts(CELL, [attempt("logs/1-p.jsonl")])[0].lines == ()
