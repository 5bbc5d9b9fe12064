"""The disk guard: a run stops in order when space runs short, whoever notices first."""

from collections import namedtuple
from pathlib import Path

import pytest

from grid.disk_guard import DiskGuard
from jobs.spec import Event, EventKind

Usage = namedtuple("Usage", "total free")
MIB = 1 << 20


class Disk:
    """A disk and a clock that a test can change."""

    def __init__(self, total=10_000 * MIB, free=5_000 * MIB):
        self.total, self.free, self.now, self.refused, self.num_asked = total, free, 0.0, None, 0

    def usage(self, folder):
        self.num_asked += 1
        return Usage(self.total, self.free)

    def guard(self, *folders):
        return DiskGuard(
            folders or (Path("/results"),), disk_full=lambda: self.refused, usage=self.usage, clock=lambda: self.now
        )


def failed(reason, kind=EventKind.CELL_FAILED):
    return Event(kind=kind, pack_id="pack-1", cell_id="0" * 16, data={"kind": "environment", "reason": reason})


@pytest.mark.parametrize(
    ("total", "free", "stops"),
    [
        (10_000 * MIB, 64 * MIB, False),
        (10_000 * MIB, 64 * MIB - 1, True),
        (6 * MIB, 1 * MIB, False),
        (6 * MIB, 0.29 * MIB, True),
        (0, 0, False),
    ],
)
def test_the_reserve_is_64_mib_or_a_twentieth_of_a_small_disk(total, free, stops):
    guard = Disk(total, free).guard()
    assert guard.must_stop() is stops
    assert (guard.reason is not None) is stops


def test_the_file_system_is_asked_once_a_second_and_the_answer_stays():
    disk = Disk()
    guard = disk.guard(Path("/a"), Path("/b"))
    assert not any(guard.must_stop() for _ in range(100))
    assert disk.num_asked == 2
    disk.free, disk.now = 0, 1.5
    assert guard.must_stop()
    assert "/a: 0.0 MiB are free" in guard.reason and "give the same command again" in guard.reason
    disk.free, disk.now = disk.total, 99.0
    assert guard.must_stop()


def test_what_the_store_met_counts_at_once():
    disk = Disk()
    guard = disk.guard()
    assert not guard.must_stop()
    disk.refused = "cannot write grid.db: database or disk is full."
    assert guard.must_stop()
    assert guard.reason.startswith("cannot write grid.db: database or disk is full. Free space")


@pytest.mark.parametrize(
    "reason",
    [
        "cannot write /r/cells/x: No space left on device; free space",
        "OSError: [Errno 122] Disk quota exceeded",
        "SafetensorError: I/O error: No space left on device (os error 28)",
        "OSError: [Errno 27] File too large",
    ],
)
@pytest.mark.parametrize("kind", [EventKind.CELL_FAILED, EventKind.PACK_LOST])
def test_a_trial_that_met_a_full_disk_stops_the_run(reason, kind):
    guard = Disk().guard()
    guard.on_event(failed(reason, kind))
    assert guard.must_stop()


def test_other_failures_do_not(tmp_path):
    guard = Disk().guard()
    guard.on_event(failed("loss is nan at step 7"))
    guard.on_event(Event(kind=EventKind.HEARTBEAT, pack_id="pack-1", data={"reason": "No space left on device"}))
    assert not guard.must_stop()


def test_a_folder_that_cannot_be_asked_does_not_stop_a_run(tmp_path):
    guard = DiskGuard((tmp_path / "none",))
    assert not guard.must_stop()


def test_a_real_disk_is_asked(tmp_path):
    guard = DiskGuard((tmp_path,))
    guard.must_stop()  # whatever it says: no error
