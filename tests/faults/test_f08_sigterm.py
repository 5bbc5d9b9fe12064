"""F8: SIGTERM, as a preemption sends it: checkpoints, flush, exit 143 within the grace time; a second exits at once."""

from __future__ import annotations

import signal
import time
from dataclasses import replace

from tests.faults.conftest import CleanDump, MakeTiny, MakeToy
from tests.faults.harness import wait_until
from tests.faults.ray_processes import WORKER, find, work


def test_f08_a_run_that_is_told_to_stop_saves_its_cells_and_goes_on_later(
    make_tiny: MakeTiny, clean_dump: CleanDump
) -> None:
    changes = {"axes": {"strategy": ["lora"], "seed": [0]}, "recipe": {"epochs": 100}, "checkpoint": {"every_s": 3600}}
    grid = make_tiny(local=False, **changes)
    running = grid.start()
    wait_until(lambda: any(line["message"].startswith("loaded") for line in grid.log_lines()), what="a loaded base")
    work(find(running, WORKER)[0], seconds=1.0)  # some steps
    began_s = time.monotonic()
    running.kill_group(signal.SIGTERM)  # as `kill -- -PGID`, a terminal or a batch system does
    finished = running.wait(40)
    assert finished.returncode == 143, finished.stderr
    assert time.monotonic() - began_s < 25
    assert list(grid.states().values()) == ["interrupted"]
    replace(grid, local=True).run_until_done(1)  # without Ray: whoever goes on, goes on with what was saved
    assert any(line["event"] == "cell_resumed" and line["step"] > 0 for line in grid.log_lines())
    assert grid.dump() == clean_dump(grid)


def test_f08_the_second_signal_exits_at_once(make_toy: MakeToy) -> None:
    grid = make_toy(scripts=("deaf",), seeds=(0,))
    running = grid.start()
    wait_until((grid.folder / "deaf").exists, what="a trial that hears nothing")
    running.kill(signal.SIGTERM)
    time.sleep(0.5)
    assert running.is_alive
    began_s = time.monotonic()
    running.kill(signal.SIGTERM)
    assert running.wait(5).returncode == 143
    assert time.monotonic() - began_s < 2


def test_f08_a_stop_that_takes_longer_than_the_grace_time_is_cut_off(make_toy: MakeToy) -> None:
    grid = make_toy(scripts=("deaf",), seeds=(0,))
    running = grid.start(env={"FINEGRID_GRACE_S": "2"})
    wait_until((grid.folder / "deaf").exists, what="a trial that hears nothing")
    began_s = time.monotonic()
    running.kill(signal.SIGTERM)
    finished = running.wait(10)
    assert finished.returncode == 143 and "FINEGRID_GRACE_S" in finished.stderr
    assert 1.5 < time.monotonic() - began_s < 6
