"""Memory monitor: Ray kills a trial for want of host memory, which ends Tune's experiment; a new pass goes on."""

from __future__ import annotations

import psutil
import pytest

from tests.fakes.trial import EATEN_MIB
from tests.faults.conftest import CleanDump, MakeToy

pytestmark = pytest.mark.faults


def test_ray_a_trial_killed_by_the_memory_monitor_is_tried_again(make_toy: MakeToy, clean_dump: CleanDump) -> None:
    grid = make_toy(scripts=("eat_once", "done"), seeds=(0,), local=False)
    memory = psutil.virtual_memory()
    allowed = (memory.total - memory.available + 0.75 * EATEN_MIB * 2**20 + 1.2e9) / memory.total
    if allowed > 0.94:
        pytest.skip("this machine has no memory to play with")
    monitor = {"RAY_memory_usage_threshold": f"{allowed:.4f}", "RAY_memory_monitor_refresh_ms": "100"}
    finished = grid.run(env=monitor)
    if not any(row["state"] == "failed" for row in grid.attempts()):
        pytest.skip("memory of the machine changed meanwhile: the monitor saw no shortage")
    assert finished.returncode == 0, finished.stderr
    assert set(grid.states().values()) == {"done"}
    assert grid.dump() == clean_dump(grid)
