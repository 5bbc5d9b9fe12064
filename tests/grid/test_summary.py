"""The exit code follows from the store, with the precedence of the contract: signal, stopped early, failed, done."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from grid.store import CellRow
from grid.summary import Summary
from jobs.spec import CellState, FailureKind


def row(number: int, state: CellState, kind: FailureKind | None = None) -> CellRow:
    reason = "[red]it\nbroke" if kind else None
    return CellRow(
        f"{number:016x}", state, kind, reason, 1, 1, "logs/1-p00001.jsonl", False, f"model [x] seed {number}"
    )


def summary(*rows: CellRow, signal: int | None = None, stopped: str | None = None) -> Summary:
    by_id = {item.cell_id: item for item in rows}
    return Summary(grid="toy", root=Path("/r"), rows=by_id, signal=signal, stopped=stopped)


DONE, FAILED = row(1, CellState.DONE), row(2, CellState.FAILED, FailureKind.DIVERGED)
PENDING = row(3, CellState.PENDING)


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (summary(DONE), 0),
        (summary(DONE, FAILED), 1),
        (summary(DONE, FAILED, PENDING), 5),
        (summary(DONE, stopped="disk full"), 5),
        (summary(DONE, FAILED, stopped="disk full", signal=15), 143),
        (summary(), 0),
    ],
)
def test_exit_code(found: Summary, code: int) -> None:
    assert found.exit_code == code and found.to_json()["exit_code"] == code


def test_people_read_what_failed_why_and_what_to_do() -> None:
    stream = io.StringIO()
    summary(DONE, FAILED, PENDING, stopped="disk full").render(Console(file=stream, width=200))
    text = stream.getvalue()
    assert "1 pending, 1 done, 1 failed of 3 cells" in text
    assert "model [x] seed 2: diverged: [red]it broke  (logs/1-p00001.jsonl)" in text
    assert "Stopped early: disk full" in text and "--retry-failed diverged" in text


@pytest.mark.parametrize(
    ("others", "said"), [((), "What failed is tried again"), ((FAILED,), "The others that failed")]
)
def test_others_are_others_of_something(others: tuple[CellRow, ...], said: str) -> None:
    stream = io.StringIO()
    again = row(4, CellState.FAILED, FailureKind.BUG)
    summary(DONE, again, *others).render(Console(file=stream, width=200))
    assert said in stream.getvalue()
