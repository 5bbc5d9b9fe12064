"""F7: the driver is killed while workers live: they and their Ray end by themselves, and the next run goes on."""

from __future__ import annotations

import signal

import psutil
import pytest

from grid.processes import ProcessName
from grid.tune_runner.process_record import FILE_NAME, write_record
from tests.faults.conftest import CleanDump, MakeToy
from tests.faults.harness import CALM_VARIABLE, wait_until
from tests.faults.ray_processes import WORKER, all_gone, find, hit

GONE_WITHIN_S = 8.0


def test_f07_workers_of_a_killed_driver_end_and_the_next_run_ends_only_what_was_recorded(
    make_toy: MakeToy, clean_dump: CleanDump
) -> None:
    grid = make_toy(scripts=("done", "hang"), seeds=(0,), local=False)
    running = grid.start()
    wait_until(lambda: grid.count("done") == 1 and grid.count("running") == 1, what="a cell under way")
    everything = running.descendants()
    hit(wait_until(lambda: find(running, WORKER), what="a worker")[0], signal.SIGSTOP)  # it cannot end by itself
    running.kill()
    assert running.wait().returncode == -signal.SIGKILL
    assert all_gone(everything, GONE_WITHIN_S)
    record = grid.layout.logs / FILE_NAME
    assert not record.exists() and grid.count("running") == 1
    with psutil.Popen(["sleep", "600"]) as left, psutil.Popen(["sleep", "600"]) as foreign:
        name = ProcessName.of(left.pid)
        assert name is not None
        write_record(record, [name, ProcessName(pid=foreign.pid, start_tick=1)])
        assert grid.run(env={CALM_VARIABLE: "1"}).returncode == 0
        assert left.wait(5) == -signal.SIGKILL
        assert foreign.poll() is None
        foreign.kill()
    assert not record.exists()
    assert grid.dump() == clean_dump(grid)


@pytest.mark.faults
def test_f07_driver_and_guardian_killed_together_leave_nothing_for_long(make_toy: MakeToy) -> None:
    grid = make_toy(scripts=("hang",), seeds=(0,), local=False)
    running = grid.start()
    wait_until(lambda: find(running, WORKER), what="a worker")
    everything = running.descendants()
    guardian = next(process for process in everything if "grid.tune_runner.guardian" in process.cmdline())
    wait_until(lambda: (grid.layout.logs / FILE_NAME).exists(), what="a record")
    running.kill(signal.SIGSTOP)  # so that neither can act on the other's death
    hit(guardian)
    running.kill()
    assert running.wait().returncode == -signal.SIGKILL
    assert grid.run(env={CALM_VARIABLE: "1"}).returncode == 0
    assert all_gone(everything, 1.0), "the next run ends what is left"
