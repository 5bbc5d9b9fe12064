"""F10: a trial hangs, or its process is stopped: after the deadline its worker is ended, and others go on."""

from __future__ import annotations

import signal

import pytest

from tests.faults.conftest import CleanDump, MakeToy
from tests.faults.harness import wait_until
from tests.faults.ray_processes import WORKER, find, hit

pytestmark = pytest.mark.faults

SILENCE = {"FINEGRID_SILENCE_S": "4"}


def test_f10_a_trial_that_says_nothing_is_ended_and_tried_again(make_toy: MakeToy, clean_dump: CleanDump) -> None:
    grid = make_toy(scripts=("deaf_once", "done"), seeds=(0,), local=False)
    finished = grid.run(env=SILENCE)
    assert finished.returncode == 0, finished.stderr
    lost = [row for row in grid.attempts() if row["state"] == "failed"]
    assert len(lost) == 1 and lost[0]["kind"] == "transient" and lost[0]["reason"].startswith("timeout")
    assert grid.dump() == clean_dump(grid)


def test_f10_a_stopped_process_is_ended_too(make_toy: MakeToy, clean_dump: CleanDump) -> None:
    grid = make_toy(scripts=("hang_once",), seeds=(0,), local=False)
    running = grid.start(env=SILENCE)
    wait_until((grid.folder / "begun").exists, what="a cell under way")
    stopped = wait_until(lambda: find(running, WORKER), what="a worker")[0]
    hit(stopped, signal.SIGSTOP)
    assert running.wait(60).returncode == 0
    assert not stopped.is_running()
    assert [row["state"] for row in grid.attempts()] == ["failed", "done"]
    assert grid.attempts()[0]["reason"].startswith("timeout")
    assert grid.dump() == clean_dump(grid)


def test_f10_a_worker_that_never_begins_costs_no_try(make_toy: MakeToy, clean_dump: CleanDump) -> None:
    grid = make_toy(scripts=("slow",), seeds=(0,), local=False)
    running = grid.start(env={"FINEGRID_WORKER_START_S": "25"})
    stopped = wait_until(lambda: find(running, WORKER), what="a worker")[0]
    hit(stopped, signal.SIGSTOP)
    if (grid.folder / "begun").exists():
        pytest.skip("the worker was quicker than this test")
    assert running.wait(120).returncode == 0
    assert [row["state"] for row in grid.attempts()] == ["interrupted", "done"]
    assert grid.dump() == clean_dump(grid)
