"""F2: a cell that kills its worker every time uses up its tries and is recorded; the others finish."""

from __future__ import annotations

from tests.faults.conftest import MakeToy


def test_f02_a_cell_that_always_kills_its_worker_fails_alone(make_toy: MakeToy) -> None:
    grid = make_toy(scripts=("die", "done"), seeds=(0,), local=False)
    finished = grid.run()
    assert finished.returncode == 1, finished.stderr
    assert sorted(grid.states().values()) == ["done", "failed"]
    tries = [row for row in grid.attempts() if row["state"] == "failed"]
    assert [row["attempt"] for row in tries] == [1, 2, 3]
    assert all(row["kind"] == "transient" and row["reason"].startswith("worker_died") for row in tries)
    assert "worker_died" in finished.stdout and "tried again by the same command" in finished.stdout
