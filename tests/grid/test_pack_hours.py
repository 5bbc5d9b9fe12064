"""Hours of packs: once a pack, whatever the number of its cells; open ones count while a run goes on."""

from __future__ import annotations

from datetime import UTC, datetime
from io import StringIO

import pytest
import sqlalchemy as sa
from rich.console import Console

from grid.pack_hours import pack_hours
from grid.status import StatusReport
from grid.store import schema
from jobs.spec import CellState

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def engine() -> sa.Engine:
    made = sa.create_engine("sqlite://")
    schema.attempts.create(made)
    return made


def add(engine: sa.Engine, cell: str, pack: str | None, began: str | None, ended: str | None, epoch: int = 1) -> None:
    row = {"cell_id": cell, "epoch": epoch, "attempt": 1, "state": "running", "pack_id": pack}
    times = {
        name: clock and f"2026-01-01T{clock}:00+00:00" for name, clock in (("started_at", began), ("ended_at", ended))
    }
    with engine.begin() as connection:
        connection.execute(sa.insert(schema.attempts).values(**row, **times))


def hours(engine: sa.Engine, *, is_running: bool = False) -> float:
    with engine.connect() as connection:
        return pack_hours(connection, is_running=is_running, now=NOW)


def test_cells_of_a_pack_share_its_hours(engine: sa.Engine) -> None:
    add(engine, "a", "p1", "08:00", "09:00")
    add(engine, "b", "p1", "08:00", "10:00")
    add(engine, "c", "p2", "08:00", "08:30")
    add(engine, "a", "p1", "11:00", "11:15", epoch=2)
    add(engine, "d", None, None, None)
    assert hours(engine) == pytest.approx(2.75)


def test_a_pack_that_runs_counts_up_to_now_and_a_killed_one_up_to_its_last_word(engine: sa.Engine) -> None:
    add(engine, "a", "p1", "08:00", "09:00")
    add(engine, "b", "p1", "08:00", None)
    assert hours(engine, is_running=True) == pytest.approx(4)
    assert hours(engine) == pytest.approx(1)


def test_a_price_makes_it_money() -> None:
    none = dict.fromkeys(CellState, 0)
    report = StatusReport(
        root="r", grid="g", counts=none, unfinished=(), retired=none, candidates=none, last_run=None, in_use_by=None,
        pack_hours=12.5, dollars_per_hour=0.4,
    )  # fmt: skip
    shown = Console(file=StringIO(), width=100)
    report.render(shown)
    assert "packs ran for 12.5 h, about $5.00" in shown.file.getvalue()  # type: ignore[attr-defined]
    assert (report.to_json()["pack_hours"], report.to_json()["dollars"]) == (12.5, 5.0)
