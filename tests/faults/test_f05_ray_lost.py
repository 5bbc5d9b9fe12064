"""F5: Ray's servers die or freeze under a run: it ends soon with 5, nothing of it remains, the same command goes on."""

from __future__ import annotations

import signal
import time

import pytest

from tests.faults.conftest import CleanDump, MakeToy
from tests.faults.harness import CALM_VARIABLE, wait_until
from tests.faults.ray_processes import all_gone, find, hit

pytestmark = pytest.mark.faults

NOTICED_WITHIN_S = 60.0


@pytest.mark.parametrize(
    ("server", "number"),
    [("raylet", signal.SIGKILL), ("gcs_server", signal.SIGKILL), ("gcs_server", signal.SIGSTOP)],
)
def test_f05_a_lost_ray_ends_the_run_in_order(
    make_toy: MakeToy, clean_dump: CleanDump, server: str, number: int
) -> None:
    grid = make_toy(scripts=("done", "hang"), seeds=(0,), local=False)
    running = grid.start()
    wait_until(lambda: grid.count("done") == 1 and grid.count("running") == 1, what="a cell under way")
    everything = running.descendants()
    began_s = time.monotonic()
    hit(find(running, server)[0], number)
    finished = running.wait(NOTICED_WITHIN_S)
    took_s = time.monotonic() - began_s
    assert finished.returncode == 5, finished.stderr
    said = finished.stdout + finished.stderr
    assert "same command" in said and ("lost" in said or "did not answer" in said)
    assert took_s < NOTICED_WITHIN_S
    assert all_gone(everything, 10.0)
    assert grid.run(env={CALM_VARIABLE: "1"}).returncode == 0
    assert grid.dump() == clean_dump(grid)
