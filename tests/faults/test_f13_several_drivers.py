"""F13: several drivers at once: one runs, the others name it and leave within two seconds; kill -9 frees the store."""

from __future__ import annotations

import time

from tests.faults.conftest import CleanDump, MakeToy
from tests.faults.harness import Grid, armed, wait_until


def test_f13_a_second_driver_names_the_first_and_kill_9_frees_the_store(
    make_toy: MakeToy, clean_dump: CleanDump
) -> None:
    toy = make_toy(scripts=("slow",))
    first = toy.start(env=armed("db.begun", "sleep=60"))
    wait_until(lambda: toy.count("running"), what="the first driver's first cell")
    start_s = _startup_s(toy)
    began = time.monotonic()
    second = toy.run()
    took_s = time.monotonic() - began
    assert second.returncode == 4, second.stderr
    assert f"process {first.pid} on " in second.stderr and "running since 20" in second.stderr
    assert took_s < 2 + start_s
    first.kill()
    first.wait()
    toy.run_until_done(1)
    assert toy.dump() == clean_dump(toy)


def test_f13_of_eight_at_once_one_runs(make_toy: MakeToy, clean_dump: CleanDump) -> None:
    toy = make_toy(scripts=("slow",), seeds=(0, 1, 2, 3))
    drivers = [toy.start() for _ in range(8)]
    finished = [driver.wait(120) for driver in drivers]
    codes = sorted(item.returncode for item in finished)
    # One that starts after the first has ended finds everything done.
    assert codes[0] == 0 and set(codes) <= {0, 4} and codes.count(4) >= 1, codes
    assert all(" in use by process " in item.stderr for item in finished if item.returncode == 4)
    assert toy.dump() == clean_dump(toy)
    assert len(toy.attempts()) == len(toy.result_folders()) == 4


def _startup_s(toy: Grid) -> float:
    """What starting Python and reading the config cost on this machine right now."""
    began = time.monotonic()
    assert toy.run("--dry-run").returncode == 0
    return time.monotonic() - began
