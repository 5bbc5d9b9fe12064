"""Cells added between runs: a grid that was cut off midway and then grew is completed, old and new cells alike."""

from __future__ import annotations

import pytest

from tests.faults.conftest import CleanDump, MakeToy
from tests.faults.harness import CALM_VARIABLE, wait_until

pytestmark = pytest.mark.faults


def test_ray_cells_added_after_a_kill_run_with_the_others(make_toy: MakeToy, clean_dump: CleanDump) -> None:
    grid = make_toy(scripts=("done", "hang"), seeds=(0,), local=False)
    running = grid.start()
    wait_until(lambda: grid.count("done") == 1 and grid.count("running") == 1, what="a cell under way")
    running.kill()
    running.wait()
    grown = make_toy(scripts=("done", "hang"), seeds=(0, 1, 2), local=False)
    assert grown.folder == grid.folder
    assert grown.run(env={CALM_VARIABLE: "1"}).returncode == 0
    assert list(grown.states().values()) == ["done"] * 6
    assert grown.dump() == clean_dump(grown)
