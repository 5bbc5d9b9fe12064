"""F6: the driver is killed while it writes: each result is there once, and at most one cell is computed again."""

from __future__ import annotations

from collections import Counter

import pytest

from grid.store import schema
from tests.faults.conftest import CleanDump
from tests.faults.harness import Grid, armed

POINTS = ("db.begun", "db.inserted", "db.committed", "result.after_replace")


@pytest.mark.parametrize("point", POINTS)
def test_f06_each_result_is_there_once(toy: Grid, clean_dump: CleanDump, point: str) -> None:
    killed = toy.run(env=armed(point))
    assert killed.returncode == -9, killed.stderr
    toy.run_until_done(1)
    assert toy.dump() == clean_dump(toy)
    results = Counter(row["cell_id"] for row in toy.rows(schema.results))
    assert set(results.values()) == {1} and len(results) == 2
    tries = Counter(row["cell_id"] for row in toy.attempts())
    assert sum(number - 1 for number in tries.values()) <= 1
    assert len(toy.result_folders()) == 2
