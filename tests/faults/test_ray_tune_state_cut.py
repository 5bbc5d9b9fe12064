"""Tune state cut: what Tune itself keeps on disk is cut off and removed under the run; nobody misses it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.faults.conftest import CleanDump, MakeToy
from tests.faults.harness import CALM_VARIABLE, wait_until

pytestmark = pytest.mark.faults


def test_ray_tunes_own_files_are_never_read(make_toy: MakeToy, clean_dump: CleanDump) -> None:
    grid = make_toy(scripts=("done", "hang"), seeds=(0,), local=False)
    running = grid.start()
    wait_until(lambda: grid.count("done") == 1 and grid.count("running") == 1, what="a cell under way")
    files = [path for path in Path(os.environ["TMPDIR"]).glob("finegrid-ray-*/pass/*") if path.is_file()]
    assert files
    for path in files:
        os.truncate(path, path.stat().st_size // 2)
    running.kill()
    running.wait()
    assert grid.run(env={CALM_VARIABLE: "1"}).returncode == 0
    assert grid.dump() == clean_dump(grid)
