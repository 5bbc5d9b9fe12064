"""F10: a trial hangs, silent or beating, or is stopped: its worker is ended, others go on; without Ray, exit 5."""

from __future__ import annotations

import signal

import pytest

from tests.faults.conftest import CleanDump, MakeToy
from tests.faults.harness import CALM_VARIABLE, Grid, wait_until
from tests.faults.ray_processes import WORKER, find, hit

pytestmark = pytest.mark.faults

SILENCE = {"FINEGRID_SILENCE_S": "4"}
STALL = {"FINEGRID_STALL_S": "6"}


def test_f10_a_trial_that_says_nothing_is_ended_and_tried_again(make_toy: MakeToy, clean_dump: CleanDump) -> None:
    grid = make_toy(scripts=("deaf_once", "done"), seeds=(0,), local=False)
    finished = grid.run(env=SILENCE)
    assert finished.returncode == 0, finished.stderr
    lost = [row for row in grid.attempts() if row["state"] == "failed"]
    assert len(lost) == 1 and lost[0]["kind"] == "transient" and lost[0]["reason"].startswith("timeout")
    assert grid.dump() == clean_dump(grid)


def test_f10_a_trial_that_speaks_and_gets_nowhere_is_ended_and_tried_again(
    make_toy: MakeToy, clean_dump: CleanDump
) -> None:
    """Its heartbeats go on: a thread that died, say, and a pack that waits for it."""
    grid = make_toy(scripts=("hang_once", "done"), seeds=(0,), local=False)
    finished = grid.run(env=STALL)
    assert finished.returncode == 0, finished.stderr
    lost = [row for row in grid.attempts() if row["state"] == "failed"]
    assert len(lost) == 1 and lost[0]["kind"] == "transient" and "nothing moved for 6 s" in lost[0]["reason"]
    assert "grid/trial_thread.py" in stacks_left(grid)
    assert grid.dump() == clean_dump(grid)


@pytest.mark.parametrize(("script", "deadline"), [("deaf", SILENCE), ("hang", STALL)])
def test_f10_without_ray_a_hang_ends_the_run_which_goes_on_later(
    make_toy: MakeToy, clean_dump: CleanDump, script: str, deadline: dict[str, str]
) -> None:
    """A trial in the driver's own process cannot be ended; its thread is left behind with the process."""
    grid = make_toy(scripts=("done", script), seeds=(0,))
    finished = grid.run(env=deadline, timeout_s=120)
    assert finished.returncode == 5, finished.stderr
    failed = [row for row in grid.attempts() if row["state"] == "failed"]
    assert len(failed) == 1 and failed[0]["kind"] == "transient" and failed[0]["reason"].startswith("timeout")
    assert failed[0]["reason"].removesuffix(".") in finished.stdout + finished.stderr
    assert ("fakes/trial.py" if script == "deaf" else "grid/trial_thread.py") in stacks_left(grid)
    assert grid.run(env={CALM_VARIABLE: "1"}).returncode == 0
    assert grid.dump() == clean_dump(grid)


def test_f10_a_stopped_process_is_ended_too(make_toy: MakeToy, clean_dump: CleanDump) -> None:
    grid = make_toy(scripts=("hang_once",), seeds=(0,), local=False)
    running = grid.start(env=SILENCE)
    wait_until((grid.folder / "begun").exists, what="a cell under way")
    stopped = wait_until(lambda: find(running, WORKER), what="a worker")[0]
    hit(stopped, signal.SIGSTOP)
    assert running.wait(180).returncode == 0
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
    assert running.wait(240).returncode == 0
    assert [row["state"] for row in grid.attempts()] == ["interrupted", "done"]
    assert grid.dump() == clean_dump(grid)


def stacks_left(grid: Grid) -> str:
    """Where the threads were when the hang was noticed, as the pack's log has it."""
    return "".join(line["stacks"] for line in grid.log_lines() if line["event"] == "no_progress")
