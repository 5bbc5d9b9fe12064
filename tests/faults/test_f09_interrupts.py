"""F9: Ctrl-C once and twice, a closed terminal, a reader that goes away."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from tests.faults.conftest import CleanDump, MakeToy
from tests.faults.harness import CALM_VARIABLE, ROOT, wait_until

pytestmark = pytest.mark.faults


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_f09_interrupts_stop_in_order(make_toy: MakeToy, clean_dump: CleanDump, number: int, code: int) -> None:
    grid = make_toy(scripts=("done", "hang"), seeds=(0,), local=False)
    running = grid.start()
    wait_until(lambda: grid.count("done") == 1 and grid.count("running") == 1, what="a cell under way")
    running.kill_group(number)
    finished = running.wait(60)
    assert finished.returncode == code, finished.stderr
    assert sorted(grid.states().values()) == ["done", "interrupted"]
    assert grid.run(env={CALM_VARIABLE: "1"}).returncode == 0
    assert grid.dump() == clean_dump(grid)


def test_f09_the_second_interrupt_exits_at_once_and_takes_ray_along(make_toy: MakeToy) -> None:
    grid = make_toy(scripts=("deaf",), seeds=(0,), local=False)
    running = grid.start()
    wait_until((grid.folder / "deaf").exists, what="a trial that hears nothing")
    running.kill_group(signal.SIGINT)
    time.sleep(1.0)
    assert running.is_alive
    began_s = time.monotonic()
    running.kill_group(signal.SIGINT)
    assert running.wait(5).returncode == 130
    assert time.monotonic() - began_s < 2


def test_f09_a_closed_pipe_stops_nothing(make_toy: MakeToy, clean_dump: CleanDump) -> None:
    grid = make_toy(scripts=("slow",), seeds=tuple(range(6)))
    command = [sys.executable, "-m", "tests.faults.driver", "run", str(grid.config), "--results", str(grid.folder)]
    run = subprocess.Popen(
        [*command, "--local"],
        cwd=ROOT,
        env=grid.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    head = subprocess.run(["head", "-1"], stdin=run.stdout, capture_output=True, timeout=60, check=True)
    assert run.stdout is not None
    run.stdout.close()
    assert run.wait(180) == 0
    assert head.stdout and set(grid.states().values()) == {"done"}
    assert grid.dump() == clean_dump(grid)
