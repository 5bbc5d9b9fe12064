"""F40: wall clocks that jump by a day, and other time zones: leases are judged by one's own monotonic clock."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from grid.store import schema
from tests.faults.conftest import CleanDump, MakeToy
from tests.faults.harness import armed, wait_until
from tests.faults.places import as_network, start_on_host

pytestmark = pytest.mark.faults

JUMPING_CLOCK = """
import datetime, time
_time, _began = time.time, time.monotonic()
def now():
    return _time() + {days} * 86400 * (time.monotonic() - _began > {after_s})
time.time = now
class Jumping(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(now(), tz)
datetime.datetime = Jumping
"""
"""Of one process: the machine's clock stays as it is."""


def jumping(folder: Path, days: int, after_s: float) -> dict[str, str]:
    """A wall clock that jumps while the process runs."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(JUMPING_CLOCK.format(days=days, after_s=after_s))
    return {"PYTHONPATH": f"{folder}:{Path(__file__).parents[2]}"}


def test_f40_a_run_across_a_jump_ends_as_an_undisturbed_one(
    make_toy: MakeToy, clean_dump: CleanDump, tmp_path: Path
) -> None:
    toy = make_toy(scripts=("slow",), seeds=(0, 1))
    for name, days, zone in (("back", -1, "Pacific/Kiritimati"), ("on", 1, "America/St_Johns")):
        grid = toy.elsewhere(tmp_path / name)
        finished = grid.run(env=jumping(tmp_path / f"clock-{name}", days, 0.5) | {"TZ": zone})
        assert finished.returncode == 0, finished.stderr
        assert grid.dump() == clean_dump(toy)
        times = [row["started_at"] for row in grid.rows(schema.runs)]
        assert all(text.endswith("+00:00") for text in times), times


def test_f40_a_lease_is_judged_by_the_observers_own_clock(
    make_toy: MakeToy, clean_dump: CleanDump, tmp_path: Path
) -> None:
    network = as_network(tmp_path / "net")
    toy = make_toy(folder="net/results", scripts=("slow", "done"))
    disk_a, disk_b = ({"FINEGRID_CACHE": str(tmp_path / name)} for name in ("disk-a", "disk-b"))
    behind, ahead = jumping(tmp_path / "behind", -1, 0), jumping(tmp_path / "ahead", 1, 0)
    first = start_on_host(toy, "node-a", network | disk_a | behind | armed("db.begun", "sleep=5"))
    wait_until(lambda: (toy.layout.root / "grid.db").exists(), what="node-a's claim")
    refused = start_on_host(toy, "node-b", network | disk_b | ahead).wait()
    assert refused.returncode == 4, "two days older by the wall clock, and yet alive\n" + refused.stderr
    first.kill(signal.SIGKILL)
    first.wait()
    began = time.monotonic()
    second = start_on_host(toy, "node-b", network | disk_b | ahead).wait()
    assert second.returncode == 0, second.stderr
    assert time.monotonic() - began > 6, "a lease was taken over before its time"
    assert toy.dump() == clean_dump(toy)
