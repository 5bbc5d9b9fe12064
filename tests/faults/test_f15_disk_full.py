"""F15: a disk that fills up: preflight says so, a run stops in order and records, and goes on once there is space."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from pathlib import Path

import pytest

from jobs.errors import DiskFull
from jobs.spec import FailureKind
from tests.faults.conftest import CleanDump, MakeToy
from tests.faults.harness import Grid, wait_until
from tests.faults.places import in_own_mounts, mounted, remount
from tests.grid.store.conftest import Bench

LARGE, SMALL = "size=400m", "size=6m"


def test_f15_a_full_disk_stops_a_run_that_goes_on_later(
    make_toy: MakeToy, clean_dump: CleanDump, request: pytest.FixtureRequest
) -> None:
    if not in_own_mounts(request):
        return
    toy = make_toy(folder="disk/results", scripts=("slow",), seeds=(0, 1, 2, 3))
    disk = toy.folder.parent
    with mounted(disk, "-t", "tmpfs", "-o", SMALL, "tmpfs"):
        refused = toy.run()
        assert refused.returncode == 3 and "are needed" in refused.stderr, refused.stderr
        assert not toy.folder.exists()
        remount(disk, LARGE)
        running = toy.start()
        wait_until(lambda: toy.count("done"), what="the first cell")
        _fill(disk)
        stopped = running.wait()
        assert stopped.returncode == 5, stopped.stderr
        assert "Stopped early" in stopped.stdout and "Free space" in stopped.stdout
        assert toy.count("done") >= 1 and toy.count("running") == 0
        assert _integrity(toy) == "ok"
        (disk / "filler").unlink(missing_ok=True)
        remount(disk, LARGE)
        toy.run_until_done(1)
        assert toy.dump() == clean_dump(toy)
        assert _integrity(toy) == "ok"
        assert not toy.layout.ballast.exists()


def test_f15_on_a_disk_without_a_byte_failures_are_still_recorded(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if not in_own_mounts(request):
        return
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", SMALL, "tmpfs") as disk:
        bench = Bench(disk / "results")
        store = bench.begin()
        for spec in bench.cells:
            bench.start(spec)
        assert bench.layout.ballast.stat().st_size > 0
        _fill(disk, spare_bytes=0)
        with pytest.raises(DiskFull, match="No space left"):
            bench.publish(bench.cells[0], 1, 1)
        for spec in bench.cells:
            store.fail(spec.cell_id, 1, 1, FailureKind.ENVIRONMENT, "No space left on device " * 15)
        assert store.disk_full is not None and not bench.layout.ballast.exists()
        store.finish_run(5)
        store.close()
        connection = sqlite3.connect(bench.layout.index)
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert connection.execute("SELECT count(*) FROM cells WHERE state = 'failed'").fetchone() == (3,)
        connection.close()


def _fill(disk: Path, spare_bytes: int = 64 << 10) -> None:
    """Take every byte, on a disk made small."""
    used = shutil.disk_usage(disk).used
    remount(disk, f"size={used + spare_bytes}")
    try:
        with (disk / "filler").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
    except OSError as error:
        assert error.errno == errno.ENOSPC


def _integrity(toy: Grid) -> str:
    connection = sqlite3.connect(toy.layout.index)
    try:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])
    finally:
        connection.close()
