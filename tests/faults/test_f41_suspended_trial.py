"""F41: a trial is suspended and wakes up: shortly, nothing happens; too late, its result is refused."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from grid.store import schema
from jobs.spec import CellSpec, PackedCell, PackSpec, dumps, from_json
from tests.faults.conftest import CleanDump, MakeToy
from tests.faults.harness import ROOT, Grid, wait_until
from tests.faults.ray_processes import WORKER, find, hit

pytestmark = pytest.mark.faults

_ZOMBIE = """
import sys
from pathlib import Path
from jobs.spec import PackSpec, loads
from tests.fakes.trial import Workshop, run_pack
for event in run_pack(loads(PackSpec, Path(sys.argv[1]).read_text()), Workshop(Path(sys.argv[2]), Path(sys.argv[2]))):
    pass
"""


def test_f41_a_trial_suspended_for_less_than_the_deadline_goes_on(make_toy: MakeToy, clean_dump: CleanDump) -> None:
    grid = make_toy(scripts=("deaf.3",), seeds=(0,), local=False)
    running = grid.start()
    wait_until((grid.folder / "deaf").exists, what="a trial")
    worker = wait_until(lambda: find(running, WORKER), what="a worker")[0]
    hit(worker, signal.SIGSTOP)
    time.sleep(30)
    hit(worker, signal.SIGCONT)
    assert running.wait(180).returncode == 0
    assert [row["state"] for row in grid.attempts()] == ["done"]
    assert grid.dump() == clean_dump(grid)


def test_f41_a_trial_that_wakes_after_its_cell_was_done_again_is_refused(
    make_toy: MakeToy, clean_dump: CleanDump, tmp_path: Path
) -> None:
    """The zombie is a process that no driver knows any more; the cell was handed out to it in epoch 1."""
    grid = make_toy(scripts=("hang",), seeds=(0,))
    first = grid.start()
    wait_until(lambda: grid.count("running") == 1, what="a cell under way")
    first.kill()
    first.wait()
    zombie = _zombie(grid, tmp_path / "pack.json")
    zombie.send_signal(signal.SIGSTOP)
    assert grid.run(env={"FINEGRID_FAKE_CALM": "1"}).returncode == 0
    zombie.send_signal(signal.SIGCONT)
    assert zombie.wait(120) == 0
    assert len(grid.result_folders()) == 2, "the zombie has published"
    assert grid.run(env={"FINEGRID_FAKE_CALM": "1"}).returncode == 0
    assert grid.dump() == clean_dump(grid)
    assert grid.command("doctor", str(grid.folder), "--rebuild").returncode == 0
    done = [row for row in grid.attempts() if row["state"] == "done"]
    assert grid.dump() == clean_dump(grid) and max(row["epoch"] for row in done) == 2


def _zombie(grid: Grid, path: Path) -> subprocess.Popen[bytes]:
    (row,) = grid.rows(schema.cells)
    cell = from_json(CellSpec, json.loads(row["spec_json"]))
    slow = replace(cell, variant="slow")
    packed = PackedCell(cell=slow, epoch=1, attempt=1)
    path.write_text(dumps(PackSpec(pack_id="p1", base_key="b", cells=(packed,))), encoding="utf-8")
    command = [sys.executable, "-c", _ZOMBIE, str(path), str(grid.folder)]
    return subprocess.Popen(command, cwd=ROOT, env=grid.environment())
